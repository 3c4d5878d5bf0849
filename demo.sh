#!/bin/sh
# The whole way on made-up text, as a user would go it. `make demo` runs this; everything lands in demo/.
set -eu
cd "$(dirname "$0")"

python -m dem.sample --root demo

for domain in main_data textbook assembly web social; do
    python dem/train_individual.py --config configs/demo.yaml --root demo --domain "$domain" --overwrite
done
python dem/vector_diff.py --config configs/demo.yaml --root demo --domain all
python dem/merge_model.py --config configs/demo.yaml --root demo

# The demo's promise, kept or not: on text that nothing was trained on, the merged model is better in every domain.
python - demo/results/metric_summary.csv <<'PYTHON'
import csv
import sys

rows = {row["model"]: row for row in csv.DictReader(open(sys.argv[1], encoding="utf-8"))}
base, merged = rows["base"], rows["merged"]
worse = [name for name in base if name.startswith("perplexity_") and float(merged[name]) >= float(base[name])]
sys.exit(f"error: the merged model is not better than the base in {', '.join(worse)}" if worse else 0)
PYTHON

echo
echo "Where to look:"
echo "  demo/results/report.md                    is the merged model better, by how much, how sure is that; with pictures"
echo "  demo/results/acceptance.md                the plan's criteria, each with its verdict"
echo "  demo/results/metric_summary.csv           a row per model, a column per metric"
echo "  demo/results/eval_prompt_comparison.md    ten prompts, the answers of all models side by side"
echo "  demo/results/rating_sheet.html            a page to rate those answers on, blind"
echo "  demo/summary/train_<domain>.png           how each adapter's training went"
echo "  demo/diff_stats/diff_<domain>_summary.png what each adapter changed"
echo "  demo/merged_model/                        the merged model, ready for AutoModelForCausalLM.from_pretrained"
