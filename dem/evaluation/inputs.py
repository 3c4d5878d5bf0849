"""What an evaluation reads, checked before any work."""

from dataclasses import dataclass
from pathlib import Path

from dem.checkpoints import Checkpoint
from dem.command_line import Request
from dem.common import load_tokenizer, log
from dem.config import AUTO, FOUND, Config
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.evaluation.generation import require_room
from dem.evaluation.harness import Harness, prepare_harness
from dem.evaluation.metrics import Mixture
from dem.evaluation.mixtures import find_mixtures
from dem.evaluation.prompts import Prompt, read_prompts
from dem.evaluation.rate import api_key
from dem.evaluation.ratings import read_ratings
from dem.full_model import models_of
from dem.merging import require_same_split
from dem.sources import adapter_deltas


@dataclass(frozen=True)
class EvaluationInputs:
    """The models to compare beside base and merged model, and what they are measured on."""

    adapters: dict[str, Path]
    """Folder of each domain's adapter, by domain."""
    models: dict[str, Path]
    """Folder of the fully fine-tuned model of each of the other domains that still has one, by domain."""
    mixtures: dict[str, Mixture]
    corpora: dict[str, Corpus]
    """The text of all the config's domains, by domain."""
    prompts: list[Prompt]
    harness: Harness | None


YET_TO_COME = "its shares are the weights that are to be found first"
"""The note of a mixture that is looked at after the search."""


def _waiting(config: Config) -> list[str]:
    """The mixtures whose shares are not known before this run's search."""
    mixtures = config.data.mixtures if config.merge.weights == AUTO else {}
    return [name for name, shares in mixtures.items() if shares == FOUND]


def after_the_search(
    request: Request, domains: list[str], base: Path, mixtures: dict[str, Mixture]
) -> dict[str, Mixture]:
    """The `mixtures`, those among them looked at now whose shares the search has found meanwhile."""
    names = [name for name, mixture in mixtures.items() if mixture.note == YET_TO_COME]
    return mixtures | (_mixtures(request, domains, base, names) if names else {})


def _mixtures(request: Request, domains: list[str], base: Path, names: list[str]) -> dict[str, Mixture]:
    config, layout = request.config, request.layout
    files = {domain: layout.parquet_files(domain) for domain in config.domains}
    base_fingerprint = Difference(*layout.existing_difference(domains[0])).index.base["fingerprint"]
    return find_mixtures(config, layout, files, base, base_fingerprint, names)


def evaluation_inputs(request: Request, domains: list[str], base: Path) -> EvaluationInputs:
    """Read and check what an evaluation of a merge of `domains` on the base in the folder `base` needs.

    Raises:
        RequestError: an adapter, a model, text, the prompts, kept ratings, the judge's key or the harness's tasks are
            missing or not what they should be.
    """
    config, layout = request.config, request.layout
    prompts = read_prompts(request.prompts)
    texts = [prompt.prompt for prompt in prompts]
    require_room(base, load_tokenizer(base), texts, config.evaluation.max_new_tokens)
    read_ratings(layout.ratings)  # it can be read
    if config.evaluation.judge:
        api_key()
    models = models_of(domains, layout)
    adapters = {domain: layout.existing_adapter(domain) for domain in domains if domain not in models}
    files = {domain: layout.parquet_files(domain) for domain in config.domains}
    for domain, adapter in adapters.items():
        require_same_split(adapter, config.data, files[domain])
        adapter_deltas(adapter, base, Checkpoint(base))  # it loads, and fits the base
    log.info(f"evaluation: finding the test documents of {', '.join(files)}")
    for domain in files:
        log.info(layout.parquet_listing(domain))
    corpora = {domain: Corpus(paths, config.data) for domain, paths in files.items()}
    later = _waiting(config)
    mixtures = _mixtures(request, domains, base, [name for name in config.data.mixtures if name not in later])
    mixtures |= {name: Mixture({}, YET_TO_COME, found=True) for name in later}
    there = {domain: folder for domain, folder in models.items() if folder}
    harness = prepare_harness(config.evaluation.harness) if config.evaluation.harness else None
    if harness and harness.note:
        log.info(f"evaluation: WARNING: evaluation.harness is left out: {harness.note}")
    return EvaluationInputs(adapters, there, mixtures, corpora, prompts, harness)
