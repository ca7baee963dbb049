//! What the fuzz targets have in common with the replay of their corpus in `tests/corpus`.

pub mod targets;
