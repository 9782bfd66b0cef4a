"""What passes between the stages: files, as types.

`manifest` is a dataset's description and index, `targets` the labels in it, `run` a training's
directory and record, `logits` its outputs, `checkpoint` its state, `cost` what it took, `ensemble`
what is made of several runs. Each type reads and writes its own file and refuses one that is
damaged or of another version with one line; no other module knows a file's name or its fields. JSON
files build on `json_record`; below are the forms of record files (`record_files`), TFRecord frames
and `.npz` archives. Start with `run`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.formats import manifest, npz, tfrecord
    from orchard.formats.checkpoint import (
        EVAL_LOGITS,
        Checkpoint,
        Resolved,
        TrainedDataset,
        TrainingCheckpoint,
        TrainingMeta,
        TrainingProgress,
        WeightsCheckpoint,
        WeightsMeta,
        load_checkpoint_file,
        save_checkpoint_file,
    )
    from orchard.formats.cost import ComputeTime, Price, TrainingCost, total_time
    from orchard.formats.ensemble import (
        AutoViews,
        CascadePoint,
        CascadeRecord,
        CascadeStage,
        ConformalRecord,
        EnsembleDataset,
        EnsembleDir,
        EnsembleRecord,
        GainOverUniform,
        MemberWeight,
        NetworkWeight,
        RefitsChoice,
        TriedWeights,
        WeightSelection,
    )
    from orchard.formats.head import DecayTried, SolvedHead
    from orchard.formats.json_record import JsonRecord, parse
    from orchard.formats.json_values import json_safe
    from orchard.formats.kinds import (
        SplitKind,
        Task,
        TextEnum,
        fold_name,
        fold_number,
        is_part,
        refit_name,
        refit_number,
        repeat_and_fold,
        repeat_fold_name,
        splits_overlap,
    )
    from orchard.formats.label_fixes import (
        LABEL_FIXES_FILE,
        Decision,
        LabelFix,
        LabelFixes,
        label_fixes_csv,
        label_text,
        read_label_fixes,
    )
    from orchard.formats.logits import Logits, load_logits, save_logits
    from orchard.formats.manifest import (
        CROISSANT_FILE,
        DATASET_INFO_FILE,
        FEATURES_FILE,
        MANIFEST_FILE,
        QUARANTINE_FILE,
        RECORDS_FILE,
        REPORT_FILE,
        RUN_LOG_FILE,
        FileInfo,
        Lineage,
        Manifest,
        ShardInfo,
        SplitInfo,
        load_manifest,
        load_records,
    )
    from orchard.formats.record_files import (
        ARRAY_RECORD,
        DAMAGED,
        RECORD_FORMATS,
        TFRECORD,
        Place,
        RecordFormat,
        RecordWriter,
        record_format,
    )
    from orchard.formats.run import (
        NO_SPLIT,
        DatasetOfRun,
        ExportDir,
        FoldsRecord,
        InputSpec,
        RunDir,
        RunRecord,
        Scores,
        SoupIngredient,
        SoupRecord,
    )
    from orchard.formats.saved_model import (
        SAVED_MODEL_FILE,
        WARMUP_FILE,
        fingerprint_saved_model,
        serving_dir,
    )
    from orchard.formats.targets import Targets

__all__ = [
    "LabelFixes",
    "read_label_fixes",
    "label_text",
    "label_fixes_csv",
    "LabelFix",
    "Decision",
    "LABEL_FIXES_FILE",
    "CROISSANT_FILE",
    "ARRAY_RECORD",
    "AutoViews",
    "CascadePoint",
    "CascadeRecord",
    "CascadeStage",
    "ConformalRecord",
    "Checkpoint",
    "ComputeTime",
    "DAMAGED",
    "DATASET_INFO_FILE",
    "DatasetOfRun",
    "DecayTried",
    "EVAL_LOGITS",
    "EnsembleDataset",
    "EnsembleDir",
    "EnsembleRecord",
    "ExportDir",
    "FEATURES_FILE",
    "FileInfo",
    "FoldsRecord",
    "GainOverUniform",
    "InputSpec",
    "JsonRecord",
    "Lineage",
    "Logits",
    "MANIFEST_FILE",
    "Manifest",
    "MemberWeight",
    "NO_SPLIT",
    "NetworkWeight",
    "Place",
    "Price",
    "QUARANTINE_FILE",
    "RECORDS_FILE",
    "RECORD_FORMATS",
    "RecordFormat",
    "RecordWriter",
    "REPORT_FILE",
    "RUN_LOG_FILE",
    "RefitsChoice",
    "Resolved",
    "RunDir",
    "RunRecord",
    "SoupIngredient",
    "SoupRecord",
    "SAVED_MODEL_FILE",
    "Scores",
    "SolvedHead",
    "ShardInfo",
    "SplitInfo",
    "SplitKind",
    "TFRECORD",
    "Targets",
    "Task",
    "TextEnum",
    "TrainedDataset",
    "TrainingCheckpoint",
    "TrainingCost",
    "TrainingMeta",
    "TrainingProgress",
    "TriedWeights",
    "WARMUP_FILE",
    "WeightSelection",
    "WeightsCheckpoint",
    "WeightsMeta",
    "fingerprint_saved_model",
    "fold_name",
    "fold_number",
    "is_part",
    "json_safe",
    "load_checkpoint_file",
    "load_logits",
    "load_manifest",
    "load_records",
    "manifest",
    "npz",
    "parse",
    "record_format",
    "refit_name",
    "refit_number",
    "repeat_and_fold",
    "repeat_fold_name",
    "splits_overlap",
    "save_checkpoint_file",
    "save_logits",
    "tfrecord",
    "serving_dir",
    "total_time",
]

__getattr__, __dir__ = attach(__name__)
