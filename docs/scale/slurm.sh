#!/usr/bin/env bash
# A Slurm array: each task computes one shard. Submit it with
#     sbatch slurm.sh BUNDLE IMAGES PARTS
# and after it has ended:
#     plusx merge PARTS -o predictions.parquet
# Tasks that failed are submitted again by their numbers; what is complete is not computed again:
#     sbatch --array=3,7 slurm.sh BUNDLE IMAGES PARTS
#SBATCH --job-name=plusx-predict
#SBATCH --array=1-64
#SBATCH --cpus-per-task=16
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --requeue
set -euo pipefail

shards=64 # the last number of --array above: it stays 64 when only some tasks are submitted again
bundle=${1:?BUNDLE is missing} images=${2:?IMAGES is missing} parts=${3:?PARTS is missing}

mkdir -p "$parts"
exec plusx predict "$bundle" "$images" -o "$parts" \
    --shard "$SLURM_ARRAY_TASK_ID/$shards" --threads "$SLURM_CPUS_PER_TASK" --engine openvino --precision fp32
