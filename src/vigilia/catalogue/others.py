"""Families of convolutions, hybrids and spikes: what their papers say, and when to pick one."""

from __future__ import annotations

from vigilia.catalogue.entries import Family, Published

__all__ = ["OTHERS"]

_BSD = "BSD-3"
_ZOO = "PyTorchVideo's zoo"


def _torchvision(clip: tuple[int, int], millions: float, gmac: float, accuracy: str) -> Published:
    return Published(clip, millions, gmac, accuracy, "torchvision 0.28")


OTHERS: dict[str, Family] = {
    "conv3d": Family(
        title="Small convolutions",
        source="ours",
        pick="little data, small pictures, a CPU: learns from a few thousand clips",
        models=(("conv3d_nano", "-", None), ("conv3d_nano_incremental", "-", None)),
    ),
    "resnet3d": Family(
        title="R3D, MC3, R(2+1)D",
        source="Tran, Wang, Torresani, Ray, LeCun, Paluri, 2018: A Closer Look at Spatiotemporal "
        "Convolutions for Action Recognition",
        pick="fast on a CPU at 112 pixels with Kinetics weights: r2plus1d_18, and it streams",
        models=(
            ("r3d_18", _BSD, _torchvision((16, 112), 33.4, 40.7, "63.2")),
            ("mc3_18", _BSD, _torchvision((16, 112), 11.7, 43.3, "64.0")),
            ("r2plus1d_18", _BSD, _torchvision((16, 112), 31.5, 40.5, "67.5")),
            ("r3d_18_incremental", _BSD, None),
            ("r2plus1d_18_incremental", _BSD, None),
            ("r3d_nano", "-", None),
            ("r3d_nano_incremental", "-", None),
            ("r2plus1d_nano", "-", None),
            ("r2plus1d_nano_incremental", "-", None),
        ),
    ),
    "c3d": Family(
        title="C3D",
        source="Tran, Bourdev, Fergus, Torresani, Paluri, 2015: Learning Spatiotemporal Features "
        "with 3D Convolutional Networks",
        pick="to compare with the beginnings",
        models=(
            (
                "c3d",
                "-",
                Published(
                    (16, 112),
                    78.4,
                    38.5,
                    "-",
                    "mmaction2",
                    "published with 101 classes, whose head has 1.2 M parameters less",
                ),
            ),
            ("c3d_nano", "-", None),
            ("c3d_nano_incremental", "-", None),
        ),
        claims=(
            (
                "85.2 % on UCF101",
                "three nets and an SVM; one net 82.3, with improved trajectories 90.4",
            ),
        ),
    ),
    "inception": Family(
        title="I3D, S3D",
        source="Carreira, Zisserman, 2017: Quo Vadis, Action Recognition?; Xie, Sun, Huang, Tu, "
        "Murphy, 2018: Rethinking Spatiotemporal Feature Learning",
        pick="features that much earlier work used; s3d is small and has Kinetics weights",
        models=(
            (
                "i3d",
                "Apache-2.0",
                Published(
                    (64, 224),
                    12.0,
                    108.0,
                    "71.1",
                    "SlowFast paper, RGB",
                    "12.70 M and 111.15 GMAC also in the published PyTorch code, whose output ours "
                    "equals",
                ),
            ),
            ("s3d", _BSD, _torchvision((16, 224), 8.3, 18.0, "68.4")),
            ("i3d_nano", "-", None),
            ("s3d_nano", "-", None),
        ),
        claims=(
            (
                "two-stream I3D: UCF101 95.6, HMDB51 74.2",
                "95.6 and 74.8 are RGB alone; two-stream 98.0 and 80.7; 74.2 is Kinetics",
            ),
            (
                "I3D, 108 GFLOPs, 28 M, 74.2 %",
                "108 and 12.7 M: 71.1 to 72.1; 28 M is I3D-R50; 74.2 is two streams, 216",
            ),
            ("3D networks see 8 to 16 frames", "I3D trains on 64 and tests on whole videos"),
        ),
    ),
    "slowfast": Family(
        title="SlowFast, Slow, C2D, I3D-R50",
        source="Feichtenhofer, Fan, Malik, He, 2019: SlowFast Networks for Video Recognition; "
        "Wang, Girshick, Gupta, He, 2018: Non-local Neural Networks",
        pick="quick movements: the fast pathway sees every frame at little cost",
        models=(
            ("slowfast_r50", "-", Published((32, 256), 34.57, 65.71, "76.9", _ZOO)),
            (
                "slowfast_r101",
                "-",
                Published(
                    (32, 256),
                    62.83,
                    127.2,
                    "77.9",
                    _ZOO,
                    "the zoo's own model counts 125.91; the paper says 106 of its own",
                ),
            ),
            (
                "slowfast_r101_50_50",
                "-",
                Published(
                    (64, 256), 53.77, 215.61, "78.7", _ZOO, "the paper says 213, as we count"
                ),
            ),
            ("slow_r50", "-", Published((8, 256), 32.45, 54.52, "74.6", _ZOO)),
            (
                "c2d_r50",
                "-",
                Published(
                    (8, 256), 24.33, 25.89, "71.5", _ZOO, "the zoo's own model counts 25.46, too"
                ),
            ),
            (
                "i3d_r50",
                "BSD-3 images",
                Published(
                    (8, 256), 28.04, 37.53, "73.3", _ZOO, "the zoo's own model counts 37.11, too"
                ),
            ),
            ("slowfast_nano", "-", None),
            ("slow_nano", "-", None),
        ),
        claims=(
            (
                "SlowFast R101 16x4, 66 GFLOPs, 53 M, 79.0 %",
                "65.7 is R50 8x8, 34.5 M, 77.0; R101 16x8 is 213, 53.8 M, 78.9",
            ),
        ),
    ),
    "slowfast_transformer": Family(
        title="Slow-fast transformer",
        source="ours, after SlowFast and TimeSformer",
        pick="quick movements, where attention is wanted",
        models=(("slowfast_transformer_s", "-", None), ("slowfast_transformer_nano", "-", None)),
    ),
    "hybrid": Family(
        title="CNN and transformer",
        source="Neimark, Bar, Zohar, Asselmann, 2021: Video Transformer Network; Gu, Wang, Wang, "
        "Liu, Cheng, Lu, 2020: Pyramid Constrained Self-Attention Network",
        pick="little video, and an image model whose weights you load into the trunk",
        models=(
            ("cnn_transformer_r18", "-", None),
            ("pcsa_mobilenet", "-", None),
            ("cnn_transformer_nano", "-", None),
            ("pcsa_nano", "-", None),
        ),
        claims=(
            (
                "PCSA attends at each level of a pyramid of features",
                "one level; the pyramid is the windows of its groups of heads",
            ),
        ),
    ),
    "two_branch": Family(
        title="Two branches",
        source="Peng, Huang, Gu, Xie, Wang, Jiao, Ye, 2021: Conformer",
        pick="to compare: convolutions and attention side by side, coupled at each stage",
        models=(("two_branch_s", "-", None), ("two_branch_nano", "-", None)),
    ),
    "audio_visual": Family(
        title="Sound beside video",
        source="Xiao, Lee, Grauman, Malik, Feichtenhofer, 2020: Audiovisual SlowFast; Nagrani et "
        "al., 2021: Attention Bottlenecks for Multimodal Fusion",
        pick="what can be heard: calls, snoring, doors; goes on where the sound is missing",
        models=(("audio_visual_swin_t", "BSD-3 video", None), ("audio_visual_nano", "-", None)),
    ),
    "neuro_svt": Family(
        title="Neuro-SVT, for event cameras",
        source="ours; spikes and energy: docs/events.md",
        pick="event cameras; a step is one bin, dense operations are counted, silence costs none",
        models=(
            ("neuro_svt_ti", "-", None),
            ("neuro_svt_s", "-", None),
            ("neuro_svt_b", "-", None),
            ("neuro_svt_nano", "-", None),
        ),
    ),
}
