# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What all models have in common."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler

NEVER_NULL = "x-never-null"
_MASK = "**********"


def _as_utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _is_none(value: object) -> bool:
    return value is None


# Stands where the generator would write pydantic's own type of this name, which refuses a naive time.
AwareDatetime = Annotated[datetime, AfterValidator(_as_utc)]


class WireModel(BaseModel):
    """A JSON object of the service.

    Unknown keys are dropped where the document does not keep them, and a field takes its name as well
    as its alias. Validation errors and reprs show no secret.
    """

    model_config = ConfigDict(
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
        # The service refuses NaN with 422; the default would turn it into null without a word.
        ser_json_inf_nan="constants",
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "secrets" and isinstance(value, dict):
                yield name, dict.fromkeys(value, _MASK)  # pyright: ignore[reportUnknownArgumentType]
            else:
                yield name, value


class RequestModel(WireModel):
    """A request with optional fields that are never null: None leaves such a field out."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> Any:
        for field in cls.__pydantic_fields__.values():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get(NEVER_NULL):  # pyright: ignore[reportUnknownMemberType]
                # Not a serializer of the model's own, which would double what encoding a request costs.
                field.exclude_if = _is_none
        return handler(source)


__all__ = ["NEVER_NULL", "AwareDatetime", "RequestModel", "WireModel"]
