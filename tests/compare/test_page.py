from rlaif.compare.files import write_rows
from rlaif.compare.measure import Figure
from rlaif.compare.page import page
from rlaif.compare.recipes import STEPS
from rlaif.compare.steps import Place
from rlaif.compare.table import Result, Results


def test_the_page_says_how_it_was_made_and_what_came_out(lab, tmp_path):
    write_rows(lab(), [], tmp_path / "seed-0", 0)
    place = Place(lab(), tmp_path / "seed-0", 0, STEPS, {"train": {"lora": 8}, "dpo": {"beta": 0.2}})
    found = [Result(name, 0, {"total": Figure(total, 0.01)}) for name, total in (("base", 0.5), ("dpo", 0.7))]
    text = page(Results(found), {"command": "rlaif lab compare --out x", "seeds": [0]}, place)
    assert "Written by `rlaif lab compare --out x`" in text
    assert "8 responses to the same 4 prompts" in text and "gold scores" in text
    assert "| dpo | 0.700 ± 0.020 |" in text
    assert "- `dpo`: train dpo, source {labels}, lora 8, beta 0.2" in text
    assert "- **dpo**: samples → responses → labels → dpo" in text
    assert "constitution c" in text and str(tmp_path) not in text
