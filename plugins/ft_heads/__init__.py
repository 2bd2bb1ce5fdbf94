"""Head builders, one file each."""

from collections.abc import Iterator

from ft import HeadBuilder, hookimpl


@hookimpl
def ft_head_builders() -> Iterator[HeadBuilder]:
    yield HeadBuilder(
        "linear",
        "One linear layer",
        build="ft_heads.linear:build",
        build_map="ft_heads.linear:build_map",
        class_rows="ft_heads.rows:last_layer",
        settings="ft_heads.linear:LinearSettings",
    )
    yield HeadBuilder(
        "mlp",
        "Hidden layers, each after normalisation and dropout, then a linear layer",
        build="ft_heads.mlp:build",
        build_map="ft_heads.mlp:build_map",
        class_rows="ft_heads.rows:last_layer",
        settings="ft_heads.mlp:MlpSettings",
    )
    yield HeadBuilder(
        "cosine",
        "Cosines between the features and a direction for each class, times a learned factor",
        build="ft_heads.cosine:build",
        class_rows="ft_heads.cosine:class_rows",
        settings="ft_heads.cosine:CosineSettings",
    )
    yield HeadBuilder(
        "gem",
        "Generalised-mean pooling in place of the backbone's average pooling, then a linear layer",
        build="ft_heads.gem:build",
        build_pool="ft_heads.gem:build_pool",
        class_rows="ft_heads.rows:last_layer",
        settings="ft_heads.gem:GemSettings",
    )
    yield HeadBuilder(
        "attention-pool",
        "Attention pooling in place of the backbone's average pooling, then a linear layer",
        build="ft_heads.attention_pool:build",
        build_pool="ft_heads.attention_pool:build_pool",
        class_rows="ft_heads.rows:last_layer",
        settings="ft_heads.attention_pool:AttentionPoolSettings",
    )
    yield HeadBuilder(
        "stages",
        "One linear layer that reads the outputs of all stages, not of the last alone",
        build="ft_heads.stages:build",
        reads="ft_heads.stages:reads",
        class_rows="ft_heads.rows:last_layer",
        settings="ft_heads.stages:StagesSettings",
    )
