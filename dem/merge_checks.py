"""Everything of a merge, its search and its evaluation that can be refused before any work; a dry run ends here.

What is left to the work takes reading large files whole: whether the base is by content the one that the differences
were made from, and whether every element of a difference is finite and as its index describes it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dem.checkpoints import Checkpoint
from dem.command_line import Request
from dem.common import load_tokenizer, log, model_config, require_vocabulary
from dem.config import AUTO, hand_weights
from dem.diffs import Difference
from dem.evaluation.timing import Timed
from dem.gpu_presence import unseen_gpu
from dem.loading import require_complete
from dem.merge_plan import plan_merge
from dem.merging import Merge, open_differences, require_one_base
from dem.positions import require_positions
from dem.run_record import read_record
from dem.trained_adapter import log_settings_changed

if TYPE_CHECKING:  # what only an evaluation or a search needs is imported for them: it takes seconds
    from dem.evaluation.documents import Document
    from dem.evaluation.inputs import EvaluationInputs
    from dem.search.regmean import Projection


@dataclass(frozen=True)
class Inputs:
    """What stage 3 reads, checked."""

    differences: dict[str, Difference]
    """Of each domain that takes part, its own."""
    projection: "Projection | None"
    """What RegMean is to change of them, and the text for it; None for other methods."""
    tune_documents: "dict[str, list[Document]] | None"
    """Of each domain, what the weights are to be found on; None where they are given."""
    evaluation: "EvaluationInputs | None"
    """None where no evaluation is asked for."""
    evaluating: Timed
    """The clock of the evaluation, which has counted the reading of its inputs."""
    left_out: set[str]
    """Tensors of the base that its model does not have: they are copied as they are."""


def check_inputs(request: Request, domains: list[str], base: Path) -> Inputs:
    """Check all that stage 3 needs but its output folders, for a merge of `domains` on the base in the folder `base`.

    The log gets the plan of the merge.

    Raises:
        RequestError: the differences, the disk, the weights, the search or the evaluation have not got what they need.
    """
    config = request.config
    auto, regmean = config.merge.weights == AUTO, config.merge.method == "regmean"
    reads_text = auto or regmean or config.evaluation.enabled
    if reads_text:
        require_positions(base, config.data.max_length)
    if left_out := require_complete(Checkpoint(base)):
        log.info(f"merge: {len(left_out)} tensors, such as {min(left_out)}, are copied as they are: the model has none")
    differences = _check_merge(_with_hand_weights(request) if auto else request, domains, base)
    if reads_text:
        _require_usable(base, config.kernels)
        if unseen := unseen_gpu():
            log.info(f"WARNING: {unseen}: the models run on the CPU")
    with Timed() as evaluating:
        evaluation = _evaluation_inputs(request, domains, base) if config.evaluation.enabled else None
    projection = _projection(request, base, differences) if regmean else None
    tune_documents = _search_inputs(request, base, differences) if auto else None
    return Inputs(differences, projection, tune_documents, evaluation, evaluating, left_out)


def _with_hand_weights(request: Request) -> Request:
    """The request with weights to go on with where they are yet to be found."""
    config = request.config
    return replace(request, config=replace(config, merge=replace(config.merge, weights=hand_weights(config))))


def _check_merge(request: Request, domains: list[str], base: Path) -> dict[str, Difference]:
    settings, checkpoint = request.config.merge, Checkpoint(base)
    differences = open_differences(domains, request.layout, checkpoint)
    require_one_base(differences)
    for domain, difference in differences.items():
        record = read_record(request.layout.adapter(domain)) if difference.index.source["kind"] == "adapter" else None
        if record:
            log_settings_changed(domain, record, request.config)
    Merge(differences, settings)  # the weights fit
    plan = plan_merge(checkpoint, differences, settings, request.layout.merged_model)
    for line in plan.lines():
        log.info(line)
    if plan.memory > plan.free_memory:
        log.info("plan: WARNING: that is more memory than is available; weighted_sum needs the least")
    return differences


def _evaluation_inputs(request: Request, domains: list[str], base: Path) -> "EvaluationInputs":
    from dem.evaluation.inputs import evaluation_inputs

    return evaluation_inputs(request, domains, base)


def _search_inputs(request: Request, base: Path, differences: dict[str, Difference]) -> "dict[str, list[Document]]":
    from dem.search.stage import search_inputs

    return search_inputs(request.config, request.layout, base, differences)


def _projection(request: Request, base: Path, differences: dict[str, Difference]) -> "Projection":
    from dem.search.regmean import loaded_bytes, projection_of

    projection = projection_of(request.config, request.layout, base, differences)
    for line in projection.lines(loaded_bytes(base, request.config.evaluation.precision)):
        log.info(line)
    return projection


def _require_usable(base: Path, kernels: str) -> None:
    """Refuse a base that could be merged and then not be run: its tokenizer does not fit it, no such kernels."""
    from dem.kernel_choice import require_kernels
    from dem.names import Names

    require_vocabulary(Names.of(base).model, load_tokenizer(base))
    require_kernels(model_config(base).model_type, kernels)
