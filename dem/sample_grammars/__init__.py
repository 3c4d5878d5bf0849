"""The grammars of the demo's five text domains, one module each."""

from dem.sample_grammars import assembly, main_data, social, textbook, web
from dem.sample_grammars.form import Grammar

GRAMMARS: dict[str, Grammar] = {
    "main_data": main_data.GRAMMAR,
    "textbook": textbook.GRAMMAR,
    "assembly": assembly.GRAMMAR,
    "web": web.GRAMMAR,
    "social": social.GRAMMAR,
}
