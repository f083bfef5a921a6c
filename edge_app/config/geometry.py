"""Model of the table [geometry]: where points of the picture lie on the road, for speeds."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, ValidationInfo, field_validator

from edge_app.config.types import Point, Table

_CORNERS: Final = 4
_FAR_M: Final = 500.0
_Side = Annotated[float, Field(ge=0.3, le=200)]


class GeometryConfig(Table):
    """Places on the road of points in the picture, for speeds; see docs/measures.md."""

    rectangle: Annotated[tuple[Point, Point, Point, Point], Field(strict=False)] | None = Field(
        default=None,
        description="Corners of a rectangle on the road, one after the other, x and y in 0..1 of the picture.",
        examples=[[[0.35, 0.8], [0.65, 0.8], [0.58, 0.5], [0.42, 0.5]]],
    )
    sides_m: Annotated[tuple[_Side, _Side], Field(strict=False)] | None = Field(
        default=None,
        description="Its sides: from the first corner to the second, and from the second to the third, m.",
        examples=[[3.5, 12.0]],
        validate_default=True,
    )
    points: Annotated[
        tuple[Annotated[tuple[float, float, float, float], Field(strict=False)], ...], Field(strict=False)
    ] = Field(
        default=(),
        description="Instead: four or more points, each x and y in 0..1 of the picture, then m to the right and ahead.",
        examples=[[[0.35, 0.8, 0.0, 0.0], [0.65, 0.8, 3.5, 0.0], [0.58, 0.5, 3.5, 12.0], [0.42, 0.5, 0.0, 12.0]]],
    )
    distortion: float = Field(
        default=0.0, ge=-0.5, le=0.5, description="Lens distortion: coefficient of the division model, barrel below 0."
    )

    @field_validator("sides_m")
    @classmethod
    def _of_a_rectangle(cls, value: tuple[float, float] | None, info: ValidationInfo) -> tuple[float, float] | None:
        if (value is None) != (info.data.get("rectangle") is None):
            raise ValueError("rectangle and sides_m belong together: give both, or neither")
        return value

    @field_validator("points")
    @classmethod
    def _enough(
        cls, value: tuple[tuple[float, float, float, float], ...], info: ValidationInfo
    ) -> tuple[tuple[float, float, float, float], ...]:
        if value and info.data.get("rectangle") is not None:
            raise ValueError("points are given beside a rectangle: give one of the two")
        if value and len(value) < _CORNERS:
            raise ValueError(f"needs at least four points, but has {len(value)}")
        if any(not (0 <= x <= 1 and 0 <= y <= 1) for x, y, _, _ in value):
            raise ValueError("x and y of each point must be in 0..1 of the picture")
        if any(not (abs(right) <= _FAR_M and abs(ahead) <= _FAR_M) for _, _, right, ahead in value):
            raise ValueError(f"places of points must lie within {_FAR_M:.0f} m")
        return value

    @property
    def given(self) -> bool:
        return self.rectangle is not None or bool(self.points)
