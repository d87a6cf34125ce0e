# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What all models have in common."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

NEVER_NULL = "x-never-null"
_MASK = "**********"


def _as_utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


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

    _never_null: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._never_null = frozenset(
            name
            for name, field in cls.model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get(NEVER_NULL)  # pyright: ignore[reportUnknownMemberType]
        )

    @model_serializer(mode="wrap")
    def _leave_out_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        for name in self._never_null:
            if name in data and data[name] is None:
                del data[name]
        return data


__all__ = ["NEVER_NULL", "AwareDatetime", "RequestModel", "WireModel"]
