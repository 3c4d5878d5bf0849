"""BLEU, chrF and ROUGE as metrics of the `evaluate` library, for Korean and without any network.

`evaluate.load` fetches code from the hub; these classes need none. Texts are compared in composed Unicode form (NFC),
so that Hangul written in either form is the same. Words are cut by MeCab where sacrebleu's extra for it is installed
(`pip install sacrebleu[ko]`), else every character is a word: white space says little in an agglutinative language,
and the libraries' default tokenizers drop or lump Hangul.
"""

import importlib.util
import unicodedata
from importlib.metadata import version
from typing import Any

import datasets
import evaluate
import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.tokenizers.tokenizer_char import TokenizerChar

from dem.evaluation.report import ROUGE_TYPES


def tokenizer_name() -> str:
    """sacrebleu's name of the tokenizer in use here."""
    return "ko-mecab" if importlib.util.find_spec("mecab_ko") else "char"


def _nfc(texts: list[str]) -> list[str]:
    return [unicodedata.normalize("NFC", text) for text in texts]


class _KoreanMetric(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="predictions and references: one text each",
            features=datasets.Features({"predictions": text, "references": text}),
        )


class Bleu(_KoreanMetric):
    """Corpus BLEU by sacrebleu, 0 to 100, with its signature; texts too short for 4-grams count with what they have."""

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        metric = sacrebleu.BLEU(tokenize=tokenizer_name(), effective_order=True)
        value = metric.corpus_score(_nfc(predictions), [_nfc(references)])
        return {"bleu": value.score, "bleu_signature": str(metric.get_signature())}


class ChrF(_KoreanMetric):
    """Corpus chrF2 by sacrebleu (n-grams of up to 6 characters), 0 to 100, with its signature."""

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        metric = sacrebleu.CHRF()
        value = metric.corpus_score(_nfc(predictions), [_nfc(references)])
        return {"chrf": value.score, "chrf_signature": str(metric.get_signature())}


class Rouge(_KoreanMetric):
    """Mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L by rouge_score, 0 to 1, over BLEU's words, with a signature."""

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        scorer = rouge_scorer.RougeScorer(ROUGE_TYPES, tokenizer=_Words())
        pairs = zip(_nfc(references), _nfc(predictions), strict=True)
        scores = [_f_measures(scorer, reference, prediction) for reference, prediction in pairs]
        figures = {name: sum(score[name] for score in scores) / len(scores) for name in ROUGE_TYPES}
        signature = f"fmeasure|mean|tok:{tokenizer_name()}|version:{version('rouge-score')}"
        return {**figures, "rouge_signature": signature}


def _f_measures(scorer: rouge_scorer.RougeScorer, reference: str, prediction: str) -> dict[str, float]:
    """Every F-measure of a pair; of identical texts each is 1, also where a text of one word has no pair of words."""
    if reference == prediction:
        return dict.fromkeys(ROUGE_TYPES, 1.0)
    return {name: value.fmeasure for name, value in scorer.score(reference, prediction).items()}


class _Words:
    """rouge_score's interface to the words that BLEU counts."""

    def __init__(self):
        if tokenizer_name() == "char":
            self._cut = TokenizerChar()
        else:
            from sacrebleu.tokenizers.tokenizer_ko_mecab import TokenizerKoMecab  # needs the extra

            self._cut = TokenizerKoMecab()

    def tokenize(self, text: str) -> list[str]:
        return self._cut(text).split()


def score_texts(predictions: list[str], references: list[str]) -> dict[str, Any]:
    """All figures for predictions against one reference each, and the number of pairs; empty without any."""
    if not predictions:
        return {}
    figures: dict[str, Any] = {"pairs": len(predictions)}
    for metric in (Bleu(keep_in_memory=True), ChrF(keep_in_memory=True), Rouge(keep_in_memory=True)):
        figures |= metric.compute(predictions=predictions, references=references)
    return figures
