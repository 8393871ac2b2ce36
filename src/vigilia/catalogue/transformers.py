"""Families of transformers: what their papers say, and when to pick one."""

from __future__ import annotations

from vigilia.catalogue.entries import Family, Published

__all__ = ["TRANSFORMERS"]

_BSD = "BSD-3"
_SWIN = "counts: paper; accuracy: torchvision 0.28"
_SCENIC = "the paper's counter includes more than products of matrices"


def _torchvision(clip: tuple[int, int], millions: float, gmac: float, accuracy: str) -> Published:
    return Published(clip, millions, gmac, accuracy, "torchvision 0.28")


TRANSFORMERS: dict[str, Family] = {
    "swin3d": Family(
        title="Video Swin",
        source="Liu, Ning, Cao, Wei, Zhang, Lin, Hu, 2022: Video Swin Transformer",
        pick="to begin with: Kinetics weights, all memories tried; swin3d_t unless a GPU idles",
        models=(
            ("swin3d_t", _BSD, Published((32, 224), 28.2, 87.9, "77.7", _SWIN)),
            (
                "swin3d_s",
                _BSD,
                Published((32, 224), 49.8, 165.9, "79.5", _SWIN),
            ),
            (
                "swin3d_b",
                _BSD,
                Published((32, 224), 88.1, 281.6, "79.4", _SWIN),
            ),
            ("swin3d_nano", "-", None),
        ),
        claims=(
            (
                "Swin-L, 604 GFLOPs, 84.9 %",
                "604 goes with 224 pixels and 83.1; 84.9 is 384 pixels, 2,107, 10 x 5 views",
            ),
            ("Something-Something 69.6 under Swin-L", "Swin-B, window 16x7x7, 320.6 GFLOPs"),
            (
                "windows shift by half the clip",
                "by half a window (4, 3, 3); not at all along an axis that fits one window",
            ),
            (
                "torchvision's figures for Swin: 43.9, 82.8 and 140.7 GFLOPs",
                "those are of 16 frames; 32 cost twice as much, as in the paper",
            ),
        ),
    ),
    "swin3d_incremental": Family(
        title="Video Swin, incremental",
        source="ours, on Video Swin",
        pick="streams: a quarter of the work of a step, frames reach further back; fine-tune it",
        models=(
            ("swin3d_t_incremental", _BSD, None),
            ("swin3d_s_incremental", _BSD, None),
            ("swin3d_b_incremental", _BSD, None),
            ("swin3d_nano_incremental", "-", None),
        ),
    ),
    "timesformer": Family(
        title="TimeSformer",
        source="Bertasius, Wang, Torresani, 2021: Is Space-Time Attention All You Need for Video "
        "Understanding?",
        pick="to compare attention schemes; divided is the published best",
        models=(
            (
                "timesformer_divided_b",
                "CC BY-NC",
                Published((8, 224), 121.4, 196.0, "78.0", "paper, 174 classes"),
            ),
            (
                "timesformer_joint_b",
                "CC BY-NC",
                Published((8, 224), 85.9, None, "-", "paper, 174 classes"),
            ),
            (
                "timesformer_space_b",
                "CC BY-NC",
                Published((8, 224), 85.9, None, "-", "paper, 174 classes"),
            ),
            (
                "timesformer_local_global_b",
                "-",
                Published((8, 224), 121.4, None, "-", "paper, 174 classes; no code is public"),
            ),
            (
                "timesformer_axial_b",
                "-",
                Published((8, 224), 156.8, None, "-", "paper, 174 classes; no code is public"),
            ),
            ("timesformer_divided_nano", "-", None),
            ("timesformer_joint_nano", "-", None),
            ("timesformer_space_nano", "-", None),
            ("timesformer_local_global_nano", "-", None),
            ("timesformer_axial_nano", "-", None),
        ),
        claims=(
            (
                "space first, then time, is best",
                "time first; space first costs 0.5 points (section 4.7)",
            ),
            (
                "divided attention costs O(TN + TN)",
                "T N (N + T + 2) comparisons: O(T N^2 + T^2 N)",
            ),
            ("Kinetics-600 79.1 of 96 frames", "of the 8-frame base; 96 frames 82.2"),
            (
                "Something-Something 62.5",
                "that is HR with ImageNet-21K; base 59.5, HR 62.2, L 62.4",
            ),
            (
                "2.4 times faster than SlowFast",
                "0.59 against 1.97 TFLOPs is 3.3; wall time 36 minutes against 14.88 hours",
            ),
            (
                "local-global is local in space, global in time",
                "both steps are over space and time",
            ),
            ("axial is height, width, time", "time, width, height"),
            ("96 frames are essential", "8 frames reach 78.0, 96 reach 80.7"),
        ),
        code="from_timesformer converts transformers' weights of the first three",
    ),
    "vivit": Family(
        title="ViViT",
        source="Arnab, Dehghani, Heigold, Sun, Lucic, Schmid, 2021: ViViT: A Video Vision "
        "Transformer",
        pick="the factorised encoder where a plain transformer over tubelets is wanted",
        models=(
            (
                "vivit_joint_b",
                "Apache-2.0",
                Published((32, 224), 88.9, 455.2, "80.0", "paper, model 1", _SCENIC),
            ),
            (
                "vivit_factorised_encoder_b",
                "-",
                Published((32, 224), 115.1, 284.4, "78.8", "paper, model 2", _SCENIC),
            ),
            (
                "vivit_factorised_self_b",
                "-",
                Published((32, 224), 117.3, 372.3, "77.4", "paper, model 3", _SCENIC),
            ),
            (
                "vivit_factorised_dot_b",
                "-",
                Published((32, 224), 88.9, 277.1, "-", "paper, model 4", _SCENIC),
            ),
            ("vivit_factorised_encoder_nano", "-", None),
            ("vivit_factorised_self_nano", "-", None),
            ("vivit_factorised_dot_nano", "-", None),
        ),
        claims=(
            (
                "model 1 is factorised, 3 factorised dot-product, 4 joint",
                "1 joint, 2 factorised encoder, 3 factorised self-attention, 4 dot-product",
            ),
            (
                "model 3 has the best trade-off",
                "model 2: 78.8 % at 284 GFLOPs, against 77.4 % at 372",
            ),
            ("model 2 is twice as fast as joint", "58.9 to 17.4 ms: 3.4 times (table 2)"),
            ("Epic Kitchens 38.5 % is ViViT's", "SlowFast's row; ViViT-L has 44.0 %"),
            (
                "ViViT-L, 32 frames, 3,992 GFLOPs, 80.6 %",
                "3,992 is model 1 at 320 pixels, 81.0 %; 80.6 is 128 frames, one view",
            ),
        ),
        code="from_vivit converts transformers' weights of model 1",
    ),
    "space_time": Family(
        title="Cheaper attention",
        source="Child 2019 (strided), Beltagy 2020 (block-local), Wang 2020 (Linformer), "
        "Choromanski 2021 (Performer)",
        pick="long clips, where joint attention is too much; not published for video",
        models=(
            ("space_time_strided_b", "-", None),
            ("space_time_block_local_b", "-", None),
            ("space_time_linformer_b", "-", None),
            ("space_time_performer_b", "-", None),
            ("space_time_strided_nano", "-", None),
            ("space_time_block_local_nano", "-", None),
            ("space_time_linformer_nano", "-", None),
            ("space_time_performer_nano", "-", None),
        ),
    ),
    "causal": Family(
        title="Causal transformers",
        source="ours: the schemes above with cached keys and values",
        pick="streams, where a plain transformer is wanted and the past is to be bounded",
        models=(
            ("timesformer_divided_causal_b", "-", None),
            ("vivit_factorised_encoder_causal_b", "-", None),
            ("space_time_joint_causal_b", "-", None),
            ("space_time_pyramid_causal_b", "-", None),
            ("timesformer_divided_causal_nano", "-", None),
            ("vivit_factorised_encoder_causal_nano", "-", None),
            ("space_time_joint_causal_nano", "-", None),
            ("space_time_pyramid_causal_nano", "-", None),
        ),
    ),
    "state_space": Family(
        title="State space",
        source="Gu, Dao, 2023: Mamba; Li et al., 2024: VideoMamba",
        pick="streams whose past has no last frame, in a state of fixed size",
        models=(("state_space_b", "-", None), ("state_space_nano", "-", None)),
    ),
    "mvit": Family(
        title="MViT",
        source="Fan et al., 2021: Multiscale Vision Transformers; Li et al., 2022: MViTv2",
        pick="most accuracy for its operations with Kinetics weights: mvit_v2_s",
        models=(
            ("mvit_v1_b", _BSD, _torchvision((16, 224), 36.6, 70.6, "78.5")),
            ("mvit_v2_s", _BSD, _torchvision((16, 224), 34.5, 64.2, "80.8")),
            ("mvit_v1_nano", "-", None),
            ("mvit_v2_nano", "-", None),
        ),
        claims=(
            ("every stage halves time", "time never changes after the stem; queries 1 x 2 x 2"),
            (
                "MViT-B, 32 frames, 70 GFLOPs, 81.2 %",
                "16x4: 70.5, 78.4; 32x3: 170, 80.2; 64x3: 455, 81.2",
            ),
            (
                "MViTv2-L, 40 frames, 1,600 GFLOPs, 84.4 %",
                "86.1 at 2,828 with ImageNet-21K; 84.4 is the ImageNet-1K row; no 1,600 exists",
            ),
        ),
    ),
    "memvit": Family(
        title="MeMViT",
        source="Wu, Li, Mangalam, Fan, Xiong, Malik, Feichtenhofer, 2022: MeMViT",
        pick="to compare with memory inside the backbone; weights start from mvit_v2_s",
        models=(
            (
                "memvit_s",
                _BSD,
                Published(
                    (16, 224),
                    35.4,
                    58.7,
                    "-",
                    "paper, for AVA",
                    "the paper's has a detection head, pools before projecting (ours behind, as "
                    "torchvision's weights want) and has more tables of positions",
                ),
            ),
            ("memvit_nano", "-", None),
        ),
        claims=(
            (
                "clips attend to memory by cross-attention",
                "self-attention, whose keys and values are extended",
            ),
        ),
    ),
}
