"""What can be wrong with a configuration although each value is of its type; each mistake is one clause of a line."""

import json
from dataclasses import fields
from urllib.parse import urlsplit

from dem.config import AUTO, FOUND, METHOD_FIELDS, Config, JudgeConfig, MergeConfig
from dem.layout import domain_name_mistake

_SIGN_ELECTING = ("ties", "dare_ties", "della", "breadcrumbs_ties")


def mistakes_in(config: Config, domain: str | None, mixtures: bool) -> list[str]:
    """What the types alone let through; `domain` is the one asked for, or a mixture if `mixtures` says so."""
    mistakes = [m for name in config.domains if (m := domain_name_mistake(name))]
    if not config.domains:
        mistakes.append("domains is empty: name at least one domain")
    if len(set(config.domains)) < len(config.domains):
        mistakes.append(f"domains names a domain twice: {', '.join(config.domains)}")
    if domain is not None and (m := domain_name_mistake(domain)):
        mistakes.append(m)
    elif domain is not None and domain in config.data.mixtures:
        if not mixtures:
            mistakes.append(
                f"--domain {domain} is a mixture of domains, of which no difference is made: stage 3 takes its adapter"
            )
    elif domain is not None and domain not in config.domains:
        mistakes.append(f"--domain {domain} is not one of the config's domains: {', '.join(config.domains)}")
    if config.data.tune_fraction + config.data.test_fraction >= 1:
        mistakes.append("data.tune_fraction and data.test_fraction leave no document for training")
    mistakes += _mixture_mistakes(config)
    mistakes += _merge_mistakes(config.merge)
    mistakes += _search_mistakes(config)
    if config.lora.target_modules == []:
        mistakes.append("lora.target_modules is empty: name modules or say auto")
    if config.evaluation.judge:
        mistakes += _judge_mistakes(config.evaluation.judge)
    if config.evaluation.harness:
        mistakes += _harness_mistakes(config)
    return mistakes


def _mixture_mistakes(config: Config) -> list[str]:
    mistakes = []
    for name, shares in config.data.mixtures.items():
        key = f"data.mixtures.{name}"
        if name in config.domains:
            mistakes.append(f"{key} has the name of a domain: choose another")
        elif mistake := domain_name_mistake(name):
            mistakes.append(f"data.mixtures: {mistake}")
        if shares == FOUND:
            continue
        if not shares:
            mistakes.append(f"{key} is empty: say each domain's share")
            continue
        if unknown := [domain for domain in shares if domain not in config.domains]:
            mistakes.append(f"{key} names {', '.join(unknown)}, not among the config's domains")
    return mistakes


def _merge_mistakes(merge: MergeConfig) -> list[str]:
    if merge.weights == AUTO:
        return _auto_mistakes(merge) + _method_mistakes(merge)
    mistakes = _weights_mistakes(merge, "merge.weights", merge.weights)
    for i, own in enumerate(merge.weights_by_parameter):
        key = f"merge.weights_by_parameter[{i}]"
        mistakes += _weights_mistakes(merge, f"{key}.weights", own.weights)
        if unknown := [domain for domain in own.weights if domain not in merge.weights]:
            mistakes.append(f"{key}.weights names {', '.join(unknown)}: name it in merge.weights too, if only with 0")
    return mistakes + _method_mistakes(merge)


def _auto_mistakes(merge: MergeConfig) -> list[str]:
    mistakes = []
    if merge.method not in ("weighted_sum", "regmean"):
        mistakes.append(
            f"merge.weights auto is for merge.method weighted_sum or regmean, not {merge.method}: name the weights"
        )
    if merge.weights_by_parameter:
        mistakes.append("merge.weights_by_parameter has no use with merge.weights auto: name patterns in search.groups")
    if merge.scale <= 0:
        mistakes.append(f"merge.scale is {merge.scale}, and with merge.weights auto must be above 0")
    return mistakes


def _fine_mistakes(config: Config) -> list[str]:
    """Of a weight for each term or module."""
    mistakes, groups = [], f"search.groups {config.search.groups}"
    if config.merge.normalize:
        mistakes.append(f"{groups} needs merge.normalize false: its weights are free, and a sum of 1 has no meaning")
    if config.search.objective == "worst":
        mistakes.append(f"{groups} has no use with search.objective worst, which steps on some of the text do not see")
    return mistakes


def _search_mistakes(config: Config) -> list[str]:
    search = config.search
    mistakes = []
    for key, figures in (("hand", search.hand), ("importance", search.importance)):
        if unknown := [domain for domain in figures if domain not in config.domains]:
            mistakes.append(f"search.{key} names {', '.join(unknown)}, not among the config's domains")
        if figures and not sum(figures.values()) > 0:
            mistakes.append(f"search.{key}: all are 0")
    if search.objective == "importance" and not search.importance:
        mistakes.append("search.objective is importance, but search.importance is empty: say what each domain counts")
    if search.objective != "importance" and search.importance:
        mistakes.append(f"search.importance has no use with search.objective {search.objective}")
    if search.map and (len(set(search.map)) != len(search.map) or not 2 <= len(search.map) <= 3):
        mistakes.append("search.map names two or three different domains, or none")
    if unknown := [domain for domain in search.map if domain not in config.domains]:
        mistakes.append(f"search.map names {', '.join(unknown)}, not among the config's domains")
    if config.merge.weights == AUTO and search.fine:
        mistakes += _fine_mistakes(config)
    if search.groups and search.method == "grid":
        mistakes.append("search.groups has no use with search.method grid")
    return mistakes


def _weights_mistakes(merge: MergeConfig, key: str, weights: dict[str, float]) -> list[str]:
    mistakes = []
    if merge.method in _SIGN_ELECTING and merge.normalize and (negative := [d for d, w in weights.items() if w < 0]):
        mistakes.append(
            f"{key}: {', '.join(negative)} is negative, and merge.method {merge.method} divides by sums of weights "
            "that may then be near 0: change it or set merge.normalize false"
        )
    taking_part = [w for w in weights.values() if w != 0]
    if "weights" not in METHOD_FIELDS[merge.method] and len(set(taking_part)) > 1:
        mistakes.append(f"{key} differ, but merge.method {merge.method} finds its own: give every domain the same")
    if merge.method == "model_stock" and len(taking_part) < 2:
        mistakes.append(f"{key}: merge.method model_stock compares domains, so two or more must have a weight")
    return mistakes


def _method_mistakes(merge: MergeConfig) -> list[str]:
    """Fields that the method does not use, and values that leave it nothing to choose from."""
    used = METHOD_FIELDS[merge.method]
    optional = {name for names in METHOD_FIELDS.values() for name in names} - {"weights"}
    mistakes = []
    for f in fields(MergeConfig):
        value = getattr(merge, f.name)
        if f.name in optional and f.name not in used and value != f.default:
            mistakes.append(f"merge.{f.name} is {json.dumps(value)}, but merge.method {merge.method} has no use for it")
    if "epsilon" in used and not (merge.density - merge.epsilon > 0 and merge.density + merge.epsilon <= 1):
        mistakes.append(
            f"merge.density {merge.density:g} -/+ merge.epsilon {merge.epsilon:g} must lie above 0 and at most at 1"
        )
    if "gamma" in used and merge.density + merge.gamma > 1 + 1e-9:
        mistakes.append(f"merge.density {merge.density:g} and merge.gamma {merge.gamma:g} add up to more than 1")
    return mistakes


def _judge_mistakes(judge: JudgeConfig) -> list[str]:
    """What is wrong with the judge's address; a secret that may stand in it is not repeated."""
    mistakes = []
    try:
        url = urlsplit(judge.base_url)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return ["evaluation.judge.base_url is not an address"]
    if "@" in url.netloc or url.query or url.fragment:
        mistakes.append(
            "evaluation.judge.base_url holds a user, a password or a query: leave them out, and put a key "
            "into the environment variable DEM_JUDGE_API_KEY"
        )
    elif not known:
        mistakes.append("evaluation.judge.base_url is not an address such as http://localhost:8000/v1")
    if not judge.model.strip():
        mistakes.append("evaluation.judge.model is empty")
    return mistakes


def _harness_mistakes(config: Config) -> list[str]:
    harness = config.evaluation.harness
    key = "evaluation.harness"
    names = [*harness.tasks, *(each.name for each in harness.multiple_choice)]
    weights = config.merge.weights
    domains = [domain for domain in config.domains if weights == AUTO or domain in weights]
    models = ["base", *domains, *config.data.mixtures, "merged"]
    mistakes = []
    if not names:
        mistakes.append(f"{key} has nothing to do: fill its tasks or multiple_choice")
    if any(not name.strip() for name in names):
        mistakes.append(f"{key}: a task has no name")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        mistakes.append(f"{key} has two tasks of the name {twice[0]}")
    if not harness.models:
        mistakes.append(f"{key}.models is empty: name at least one model")
    if unknown := [name for name in harness.models if name not in models]:
        mistakes.append(f"{key}.models names {', '.join(unknown)}; there will be {', '.join(models)}")
    return mistakes
