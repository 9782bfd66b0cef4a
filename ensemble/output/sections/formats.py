"""The section of `--formats`: the files, how they agree with the SavedModel, and their use."""

from ensemble.config import EnsembleConfig
from ensemble.output.sections.section import SECTIONS
from ensemble.result import Result
from orchard import html


@SECTIONS.register("formats")
def formats_section(config: EnsembleConfig, result: Result) -> str:
    """A row a file, and the code that decodes images for them; "" without any."""
    if not result.exported:
        return ""
    inputs = dict.fromkeys(result.inputs.members[at].input for at in result.rule.members)
    return html.render(
        "ensemble/formats.html",
        files=result.exported,
        inputs=inputs,
        names=[one.name for one in result.exported],
        has_onnx=any(one.name.endswith(".onnx") for one in result.exported),
    )
