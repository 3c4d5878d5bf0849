"""What a script says on stderr when it fails: one line that a terminal shows as it is."""

import pytest

from dem.command_line import parse_request
from dem.errors import RequestError, WorkError, run_script


@pytest.mark.parametrize(("error", "status"), [(RequestError, 2), (WorkError, 1)])
def test_a_message_is_one_line_on_which_nothing_acts(error, status, capsys):
    def fail():
        raise error("사회/a.json:\n holds \x1b[2Jthis\x00 and \u202ethat")

    assert run_script(fail) == status
    assert capsys.readouterr().err == "error: 사회/a.json: holds <U+001B>[2Jthis<U+0000> and <U+202E>that\n"


def test_without_a_config_the_message_says_to_give_one():
    with pytest.raises(RequestError, match="base_model is required and missing: give --config FILE$"):
        parse_request("", [], stage=3)
