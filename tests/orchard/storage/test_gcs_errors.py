import pytest

from orchard.storage.gcs_errors import explain, explain_tensorflow

FORBIDDEN = (
    "{{function_node __wrapped__ReadFile}} Error executing an HTTP request: HTTP response code "
    '403 with body \'{"error": {"code": 403, "message": "me@example.com does not have '
    "storage.objects.get access to the Google Cloud Storage object.\"}}'\n\t when reading "
    "gs://plants/a/b [Op:ReadFile]"
)


class TensorFlowError(Exception):
    """As TensorFlow's: only its module's name and its text matter."""


TensorFlowError.__module__ = "tensorflow.python.framework.errors_impl"


def test_explain_tensorflow_refusal_names_principal_role_and_bucket():
    line = explain_tensorflow(TensorFlowError(FORBIDDEN))
    assert line == (
        "gs://plants/a/b: me@example.com lacks storage.objects.get (403); grant it "
        "roles/storage.objectViewer on the bucket: gcloud storage buckets add-iam-policy-binding "
        "gs://plants --member=user:me@example.com --role=roles/storage.objectViewer"
    )


def test_explain_tensorflow_refused_credentials_say_what_to_do():
    text = "Error executing an HTTP request: HTTP response code 401 with body '...'"
    assert "gcloud auth application-default login" in explain_tensorflow(TensorFlowError(text))


@pytest.mark.parametrize(
    "error", [ValueError(FORBIDDEN), TensorFlowError("OOM when allocating tensor")]
)
def test_explain_tensorflow_other_errors_are_none(error):
    assert explain_tensorflow(error) is None


@pytest.mark.parametrize(
    "secret",
    ["upload_id=ABPtcPq-secret&x=1", "Bearer secret", "ya29.a0secret-Token_1"],
)
def test_explain_leaves_out_upload_addresses_and_tokens(secret):
    line = explain("gs://plants/a", "storage.objects.create", ValueError(f"POST {secret} failed"))
    assert "secret" not in line and "failed" in line


def test_explain_long_answer_is_cut():
    line = explain("gs://plants/a", "storage.objects.get", ValueError("x\n" * 5000))
    assert len(line) < 400 and "\n" not in line


def test_explain_host_in_the_request_is_no_permission():
    text = "403 POST https://storage.googleapis.com/upload/storage/v1/b/plants/o: denied"
    assert "lacks storage.objects.create" in explain(
        "gs://plants/a", "storage.objects.create", ValueError(text)
    )
