"""The family: every name builds, every answer has a prior, and wrong orders are refused in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handguard.detection.architectures import build, member_of, names
from handguard.detection.backbones.efficientnet_lite import EfficientNetLite0
from handguard.detection.backbones.vgg import UnitLength
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError

EVERY = names()
ANY_SIZE = [name for name in EVERY if member_of(name).any_multiple_of_px]
FIXED = [name for name in EVERY if not member_of(name).any_multiple_of_px]


def shapes_only(name: str, input_px: tuple[int, int] | None = None) -> Ssd:
    """A network without numbers: shapes can be checked at no cost."""
    with torch.device("meta"):
        return build(name, 3, input_px).eval()


def answers_fit_priors(network: Ssd, input_px: tuple[int, int]) -> bool:
    raw = network(torch.zeros(2, 3, input_px[1], input_px[0], device="meta"))
    columns = 3 + (network.score_kind is ScoreKind.SOFTMAX)
    count = len(network.priors)
    return raw.class_logits.shape == (2, count, columns) and raw.box_offsets.shape == (2, count, 4)


@pytest.mark.parametrize("name", EVERY)
def test_every_network_answers_once_for_each_prior(name: str) -> None:
    assert answers_fit_priors(shapes_only(name), member_of(name).input_px)


@pytest.mark.parametrize("input_px", [(64, 64), (192, 192), (416, 256), (96, 640)])
@pytest.mark.parametrize("name", ANY_SIZE)
def test_convolutional_networks_take_any_multiple_of_32(name: str, input_px: tuple[int, int]) -> None:
    assert answers_fit_priors(shapes_only(name, input_px), input_px)


@pytest.mark.parametrize("input_px", [(80, 112), (416, 240), (304, 336)])
@pytest.mark.parametrize("name", [name for name in ANY_SIZE if member_of(name).any_multiple_of_px == 16])
def test_efficientnets_take_any_multiple_of_16(name: str, input_px: tuple[int, int]) -> None:
    assert answers_fit_priors(shapes_only(name, input_px), input_px)


def test_an_odd_map_is_halved_as_if_a_row_of_zeros_came_after_it() -> None:
    torch.manual_seed(0)
    pad, conv, *_ = EfficientNetLite0().scene[0].layers[1]  # type: ignore[index]
    odd = torch.rand(1, conv.weight.shape[0], 15, 13)
    even = torch.nn.functional.pad(odd, (0, 1, 0, 1))
    assert conv(pad(odd)).shape[2:] == (8, 7)
    torch.testing.assert_close(conv(pad(odd)), conv(pad(even)))


@pytest.mark.parametrize("name", FIXED)
def test_the_papers_networks_take_their_own_size_only(name: str) -> None:
    with pytest.raises(ModelError, match=r"input size of ssd.*its only size, found \(320, 320\)"):
        build(name, input_px=(320, 320))


@pytest.mark.parametrize("input_px", [(32, 320), (320, 300), (0, 0)])
def test_a_size_off_the_grid_is_refused(input_px: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="multiples of 32, at least 64"):
        build("palmnet-s", input_px=input_px)


@pytest.mark.parametrize("name", ["yolo", "palmnet-s+fpn", "", "ssd300-vgg16+fpn+fpn"])
def test_an_unknown_name_is_answered_with_all_names(name: str) -> None:
    with pytest.raises(ModelError) as error:
        build(name)
    assert all(known in str(error.value) for known in EVERY)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", [name for name in EVERY if name.endswith("+fpn")])
def test_the_remedy_adds_a_finer_map_of_smaller_priors(name: str) -> None:
    plain, remedied = build(name.removesuffix("+fpn")), build(name)
    assert len(remedied.priors) > len(plain.priors)
    assert remedied.priors[0].tolist() == pytest.approx((plain.priors[0] / 2).tolist())
    assert remedied.backbone.state_dict().keys() == plain.backbone.state_dict().keys()


def test_the_scale_of_conv4_3_is_learnt_and_starts_at_20() -> None:
    norm = UnitLength(5)
    lengths = norm(torch.rand(2, 5, 3, 3) + 0.1).norm(dim=1)
    assert torch.allclose(lengths, torch.full_like(lengths, 20.0), rtol=1e-5)
    assert any(parameter is norm.scale for parameter in norm.parameters())


def test_a_position_without_features_does_not_divide_by_zero() -> None:
    assert UnitLength(5)(torch.zeros(1, 5, 1, 1)).isfinite().all()


def test_half_precision_neither_divides_by_zero_nor_overflows() -> None:
    norm = UnitLength(512).half()
    for value in (0.0, 100.0):  # 512 squares of 100 are more than half precision holds
        half = norm(torch.full((1, 512, 1, 1), value, dtype=torch.float16))
        assert half.dtype is torch.float16
        torch.testing.assert_close(half.float(), UnitLength(512)(torch.full((1, 512, 1, 1), value)), rtol=2e-3, atol=0)


def test_fc6_looks_wide_without_more_weights() -> None:
    fc6 = next(
        one for one in shapes_only("ssd300-vgg16").backbone.fc6.modules() if isinstance(one, nn.Conv2d)
    )
    assert (fc6.dilation, fc6.padding, fc6.kernel_size) == ((6, 6), (6, 6), (3, 3))


@pytest.mark.parametrize("name", ["palmnet-s", "ssdlite-mobilenet-v2", "ssdlite320-mobilenet-v3-large"])
def test_a_fresh_network_gives_finite_answers_to_black_and_white(name: str) -> None:
    network = build(name, input_px=(64, 64)).eval()
    pictures = torch.stack([torch.zeros(3, 64, 64), torch.full((3, 64, 64), 255.0)])
    with torch.no_grad():
        raw = network(pictures)
    assert raw.class_logits.isfinite().all()
    assert raw.box_offsets.isfinite().all()


def test_a_fresh_ssd300_starts_with_moderate_logits() -> None:
    """Sixteen layers without normalisation must neither fade out nor blow up."""
    torch.manual_seed(0)
    network = build("ssd300-vgg16").eval()
    with torch.no_grad():
        logits = network(torch.rand(1, 3, 300, 300) * 255).class_logits
    assert 0.1 < float(logits.std()) < 20
