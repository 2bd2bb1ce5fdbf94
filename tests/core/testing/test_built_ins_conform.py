"""Everything that comes with ft passes the kit that its authors hand to others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from faults.repetitions import FULL
from ft.extension.installed import load_plugins
from ft.testing import (
    AugmentationConformance,
    BackboneConformance,
    DataConformance,
    ExporterConformance,
    FreezeConformance,
    HeadConformance,
    OptimizerConformance,
    RecipeConformance,
    TaskConformance,
    TrackerConformance,
    WeightFile,
    WeightSourceConformance,
)
from packed import encoded, write_parquet, write_tars

pytestmark = pytest.mark.slow

HUBCONF = """
from torch import nn

def net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
"""


TRACKIO = str(Path(tempfile.gettempdir()) / f"ft-trackio-{os.getpid()}")  # one for a process


@pytest.fixture(scope="class")
def without_trackio_folder() -> Iterator[None]:
    yield
    shutil.rmtree(TRACKIO, ignore_errors=True)


class TestTorchvision(BackboneConformance):
    component = "backbone:torchvision"
    models = ("squeezenet1_1", "shufflenet_v2_x0_5")


class TestTorchvisionPooling(BackboneConformance):
    component = "backbone:torchvision"
    models = ("resnet18",)


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
class TestTimm(BackboneConformance):
    component = "backbone:timm"
    models = ("test_resnet", "test_convnext")


class TestHub(BackboneConformance):
    component = "backbone:hub"

    @pytest.fixture
    def arguments(self, tmp_path: Path) -> Sequence[str]:
        (tmp_path / "checkout").mkdir()
        (tmp_path / "checkout" / "hubconf.py").write_text(HUBCONF)
        return (f"{tmp_path / 'checkout' / 'hubconf.py'}:net",)


@pytest.mark.faults
@pytest.mark.skipif(not FULL, reason="make faults runs it: half a minute")
class TestTorchvisionTransformer(BackboneConformance):
    component = "backbone:torchvision"
    models = ("vit_b_32",)
    settings = ({"image_size": 32},)


class TestNone(FreezeConformance):
    component = "freeze:none"


class TestAll(FreezeConformance):
    component = "freeze:all"


class TestRegex(FreezeConformance):
    component = "freeze:regex"
    arguments = ("features.*", r"layer[12](\..*)?", "conv1")


class TestDepth(FreezeConformance):
    component = "freeze:depth"
    arguments = ("3", "60%", "-1")


class TestUntil(FreezeConformance):
    component = "freeze:until"
    arguments = ("layer3", "features")


class TestType(FreezeConformance):
    component = "freeze:type"
    arguments = ("norm", "conv", "bias")


class TestBatchNorm(FreezeConformance):
    component = "freeze:batchnorm"


class TestBlocks(FreezeConformance):
    component = "freeze:blocks"
    arguments = ("0-2", "1,3", "-1")


class TestBitfit(FreezeConformance):
    component = "freeze:bitfit"


class TestFisher(FreezeConformance):
    component = "freeze:fisher"
    arguments = ("1", "2")


class TestOnnx(ExporterConformance):
    component = "exporter:onnx"


class TestTorchExport(ExporterConformance):
    component = "exporter:torch-export"


class TestSafetensors(ExporterConformance):
    component = "exporter:safetensors"


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed; make exporters installs it")
@pytest.mark.filterwarnings("default")  # of the library's own
class TestOpenVino(ExporterConformance):
    component = "exporter:openvino"


@pytest.mark.skipif(
    find_spec("litert_torch") is None, reason="litert-torch is not installed; make exporters installs it"
)
@pytest.mark.filterwarnings("default")  # of the library's own
class TestLiteRt(ExporterConformance):
    component = "exporter:litert"


class TestMetricsCsv(TrackerConformance):
    component = "tracker:csv"
    settings = ({}, {"file": "a.csv", "separator": ";"})


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.filterwarnings("default")  # of the library's own
class TestTensorBoard(TrackerConformance):
    component = "tracker:tensorboard"


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed; make trackers installs it")
@pytest.mark.filterwarnings("default")
class TestMLflow(TrackerConformance):
    component = "tracker:mlflow"


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed; make trackers installs it")
@pytest.mark.filterwarnings("default")
class TestWandb(TrackerConformance):
    component = "tracker:wandb"


@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed; make trackers installs it")
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("without_trackio_folder")
class TestTrackio(TrackerConformance):
    component = "tracker:trackio"
    settings = ({"folder": TRACKIO},)


class TestLinear(HeadConformance):
    component = "head:linear"


class TestMlp(HeadConformance):
    component = "head:mlp"
    settings = ({}, {"hidden": [8, 4], "norm": "layer", "dropout": 0.0}, {"norm": "none"})


class TestCosine(HeadConformance):
    component = "head:cosine"
    settings = ({}, {"scale": 3, "learn_scale": False})


class TestGem(HeadConformance):
    component = "head:gem"
    settings = ({}, {"p": 1, "learn_p": False})


class TestAttentionPool(HeadConformance):
    component = "head:attention-pool"
    settings = ({}, {"heads": 4})


class TestStages(HeadConformance):
    component = "head:stages"


class TestOfficial(WeightSourceConformance):
    component = "weights:official"


class TestMirror(WeightSourceConformance):
    component = "weights:mirror"

    @pytest.fixture
    def argument(self, weight_file: WeightFile) -> str:
        return weight_file.base_url


class TestLocal(WeightSourceConformance):
    component = "weights:local"

    @pytest.fixture
    def argument(self, weight_file: WeightFile) -> str:
        return str(weight_file.path.parent)


class TestPip(WeightSourceConformance):
    component = "weights:pip"

    @pytest.fixture
    def argument(self, weight_file: WeightFile, monkeypatch: pytest.MonkeyPatch) -> str:
        site = weight_file.path.parent
        (site / "package").mkdir()
        shutil.copy(weight_file.path, site / "package")
        info = site / "kit_weights-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kit-weights\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"package/{weight_file.path.name},,\n")
        monkeypatch.syspath_prepend(str(site))
        return "kit-weights"


class TestFsspec(WeightSourceConformance):
    component = "weights:fsspec"

    @pytest.fixture
    def argument(self, weight_file: WeightFile) -> str:
        fsspec = pytest.importorskip("fsspec")
        fsspec.filesystem("memory").pipe(f"/kit/{weight_file.path.name}", weight_file.content)
        return "memory://kit"


class _Elsewhere(WeightSourceConformance):
    """Nothing on this machine can stand for where the file is; the rest is tried."""

    @pytest.fixture
    def weight_file(self) -> None:
        return None

    @pytest.fixture
    def argument(self) -> str:
        return "ft-testing/no-such-bucket"


class TestS3(_Elsewhere):
    component = "weights:s3"


class TestGs(_Elsewhere):
    component = "weights:gs"


class TestHf(_Elsewhere):
    component = "weights:hf"


class TestAdamW(OptimizerConformance):
    component = "optimizer:adamw"
    settings = ({}, {"betas": [0.5, 0.9]})


class TestSGD(OptimizerConformance):
    component = "optimizer:sgd"
    settings = ({}, {"momentum": 0.0}, {"nesterov": False})


class TestNAdam(OptimizerConformance):
    component = "optimizer:nadam"


class TestRAdam(OptimizerConformance):
    component = "optimizer:radam"


class TestAdafactor(OptimizerConformance):
    component = "optimizer:adafactor"


class TestMuon(OptimizerConformance):
    component = "optimizer:muon"


class TestLBFGS(OptimizerConformance):
    component = "optimizer:lbfgs"


class TestSweep(OptimizerConformance):
    component = "optimizer:sweep"
    settings = ({}, {"rule": "sgd"}, {"rates": [0.1], "decays": [0.0], "seeds": 3})


class TestDefault(RecipeConformance):
    component = "recipe:default"


class TestQuick(RecipeConformance):
    component = "recipe:quick"


class TestLinearProbe(RecipeConformance):
    component = "recipe:linear-probe"


class TestBest(RecipeConformance):
    component = "recipe:best"


class TestLpFt(RecipeConformance):
    component = "recipe:lp-ft"


class TestGradual(RecipeConformance):
    component = "recipe:gradual"


class TestDiscriminative(RecipeConformance):
    component = "recipe:discriminative"


class TestSurgical(RecipeConformance):
    component = "recipe:surgical"


class TestFull(RecipeConformance):
    component = "recipe:full"


class TestLoraRecipe(RecipeConformance):
    component = "recipe:lora"


class TestBitfitRecipe(RecipeConformance):
    component = "recipe:bitfit"


class TestNoAugmentation(AugmentationConformance):
    component = "augmentation:none"


class TestFlip(AugmentationConformance):
    component = "augmentation:flip"


class TestStandard(AugmentationConformance):
    component = "augmentation:standard"
    settings = ({}, {"scale": [0.1, 0.5], "p": 0.0})


class TestStrong(AugmentationConformance):
    component = "augmentation:strong"


class TestGeometric(AugmentationConformance):
    component = "augmentation:geometric"
    settings = ({}, {"mirror": False}, {"rotate": False})


class TestTrivial(AugmentationConformance):
    component = "augmentation:trivial"


class TestRand(AugmentationConformance):
    component = "augmentation:rand"


class TestClassification(TaskConformance):
    component = "task:classification"
    settings = (
        {},
        {"label_smoothing": 0.1, "class_weights": "balanced"},
        {"class_weights": {"cat": 3}, "sampler": "balanced"},
        {"loss": "focal", "class_weights": "balanced", "gamma": 1},
    )


class TestMultilabel(TaskConformance):
    component = "task:multilabel"
    settings = ({}, {"positive_weights": "balanced", "thresholds": 0.3})


class TestRegression(TaskConformance):
    component = "task:regression"
    settings = ({}, {"loss": "squared"}, {"delta": 0.5})


class TestFolder(DataConformance):
    component = "data:folder"

    @pytest.fixture
    def argument(self, photos: Path) -> str:
        return str(photos)


class TestCsv(DataConformance):
    component = "data:csv"

    @pytest.fixture
    def argument(self, photos: Path, tmp_path: Path) -> str:
        lines = [f"{path},{path.parent.name}" for path in sorted(photos.glob("*/*.png"))]
        (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines]) + "\n")
        return str(tmp_path / "table.csv")


class TestWebDataset(DataConformance):
    component = "data:webdataset"

    @pytest.fixture
    def argument(self, tmp_path: Path) -> str:
        write_tars(tmp_path / "shards")
        return str(tmp_path / "shards" / "part-{00..01}.tar")


class TestParquet(DataConformance):
    component = "data:parquet"

    @pytest.fixture
    def argument(self, tmp_path: Path) -> str:
        return str(write_parquet(tmp_path / "a.parquet", ["cat", "dog"] * 3, structs=True))


class TestHuggingFaceData(DataConformance):
    component = "data:hf"

    @pytest.fixture
    def argument(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        datasets = pytest.importorskip("datasets")
        for module in ("huggingface_hub.constants", "datasets.config"):  # read when they are imported
            monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
        images = [{"bytes": encoded(number), "path": None} for number in range(4)]
        made = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)
        made.save_to_disk(tmp_path / "saved")
        return str(tmp_path / "saved")


class TestDemo(DataConformance):
    component = "data:demo"
    settings = ({"images_per_class": 2, "size": 32}, {"images_per_class": 2, "size": 32, "seed": 1})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from PIL import Image

    for number, label in enumerate(("cat", "cat", "dog")):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


def test_no_built_in_component_is_left_out() -> None:
    tried = {value.component for name, value in globals().items() if name.startswith("Test")}
    built_in = load_plugins(environ={"FT_NO_THIRD_PARTY": "1"}).components()
    assert {f"{component.kind.name}:{component.name}" for component in built_in} == tried
