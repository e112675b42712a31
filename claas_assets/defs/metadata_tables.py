"""Tables and schemas in the UI."""

from collections.abc import Iterable

import dagster as dg

from claas_assets.evaluation.storage.records import METRIC_COLUMNS, RetentionRecord, VerdictRecord
from claas_assets.evaluation.verdict.outcome import grade_words

_VERDICT_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("preference"),
        dg.TableColumn("criterion"),
        dg.TableColumn("grade", description="in words; what does not decide is marked"),
        dg.TableColumn("evidence"),
        dg.TableColumn("value", "float"),
        dg.TableColumn("baseline", "float"),
        dg.TableColumn("bound", "float", description="of the change, one-sided: the one that decided"),
        dg.TableColumn("n", "int"),
        dg.TableColumn("missing", "int"),
        dg.TableColumn("sentence"),
    ]
)

_COLUMNS = {
    "run_id": ("string", "the run folder's name"),
    "preference": ("string", "the partition"),
    "phase": ("string", "baseline or step"),
    "step": ("int", "feedback steps are counted from 0; -1 is the baseline"),
    "snapshot": ("string", "light or full"),
    "metric": ("string", "logprob, compliance, general or collapse"),
    "quantity": ("string", "dotted name of the number"),
    "unit": ("string", "nats, nats/token, score, rate, ratio, tokens, answers or bool"),
    "value": ("float", "empty where not measured; then `reason` says why"),
    "n": ("int", "units (prompts, items, pairs) in the value"),
    "lower": ("float", "lower end of the interval, where there is one"),
    "upper": ("float", "upper end of the interval"),
    "missing": ("int", "units without an answer, which are in no mean"),
    "reason": ("string", "unavailable: …, or failed: …"),
    "version": ("string", "of the metric that scored it"),
}

METRIC_TABLE_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn(name, kind, description=description)
        for name, (kind, description) in ((name, _COLUMNS[name]) for name in METRIC_COLUMNS)
    ]
)


def retention_table(record: RetentionRecord) -> dg.TableMetadataValue:
    """The matrix of a sequence: a row a phase's end, a column a preference, shares that obeyed."""
    columns = [dg.TableColumn("after"), *(dg.TableColumn(name, "float") for name in record.preferences)]
    rows = [
        dg.TableRecord(
            {
                "after": "untouched" if row.trained is None else f"phase {row.phase}: {row.trained}",
                **{name: cell.value for name, cell in row.cells.items()},
            }
        )
        for row in record.rows
    ]
    return dg.MetadataValue.table(records=rows, schema=dg.TableSchema(columns=columns))


def verdict_table(records: Iterable[VerdictRecord]) -> dg.TableMetadataValue:
    rows = [
        dg.TableRecord(
            {
                "preference": record.preference,
                "criterion": name,
                "grade": grade_words(criterion),
                "evidence": criterion.evidence or "",
                "value": criterion.value,
                "baseline": criterion.baseline,
                "bound": criterion.bound,
                "n": criterion.n,
                "missing": criterion.missing,
                "sentence": criterion.sentence,
            }
        )
        for record in records
        for name, criterion in record.criteria.items()
    ]
    return dg.MetadataValue.table(records=rows, schema=_VERDICT_COLUMNS)
