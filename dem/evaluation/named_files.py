"""The files that the configuration names for stage 3, looked at by the stages before it, which take days."""

from pathlib import Path

from dem.command_line import Request
from dem.errors import RequestError
from dem.evaluation.prompts import read_prompts


def require_named_files(request: Request) -> None:
    """Refuse prompts that stage 3 could not read, and multiple-choice files that are not there.

    The questions themselves are read by stage 3 only.

    Raises:
        RequestError: one of them cannot serve.
    """
    evaluation = request.config.evaluation
    if not evaluation.enabled:
        return
    read_prompts(request.prompts)
    questions = evaluation.harness.multiple_choice if evaluation.harness else []
    files = [file for each in questions for file in (each.file, each.few_shot_file) if file]
    if missing := [file for file in files if not Path(file).is_file()]:
        raise RequestError(f"evaluation.harness.multiple_choice names {missing[0]}, which is no file: put it there")
