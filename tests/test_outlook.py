"""How long an evaluation is going to take is reckoned from what was measured of it before."""

from dem.evaluation.outlook import Beside, Outlook

PARTS = [("perplexity web", 1000), ("perplexity social", 3000), ("answers", 256)]


def test_the_rest_is_reckoned_by_tokens_and_by_the_same_part_of_another_model():
    outlook = Outlook([*PARTS, *PARTS], None)
    outlook.took("perplexity web", 1000, 2.0, waited=True)
    assert outlook.left() == "about 14.0 s left, without answers"  # 6 + 2 + 6
    outlook.took("perplexity social", 3000, 8.0, waited=True)
    outlook.took("answers", 256, 10.0, waited=True)
    assert outlook.left() == "about 20.0 s left"
    for name, tokens in PARTS:
        outlook.took(name, tokens, 1.0, waited=True)
    assert outlook.left() == "" and outlook.measured == 6


def test_what_is_kept_and_what_stands_beside_count_for_the_plan():
    outlook = Outlook(PARTS, Beside(spent=500, later=1500))
    for name, tokens in PARTS:
        outlook.took(name, tokens, tokens / 10, waited=False)
    assert outlook.measured == 0  # 500 + 425.6 kept, as much to come, and 150 for what is scored after it
    assert (
        outlook.left()
        == "about 9.59 min left; stage 3 25 min, WARNING: more than the plan's 20 min (evaluation.tokens takes fewer)"
    )
    outlook = Outlook([("perplexity web", 1000)], Beside(spent=500, later=1500))
    outlook.took("perplexity web", 1000, 100.0, waited=True)
    assert outlook.left() == "about 2.5 min left; stage 3 12.5 min, within the plan's 20 min"
