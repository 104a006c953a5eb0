#!/bin/sh
# The whole line on the phantom collection: raw images -> refined -> audited -> split -> heated -> finetuned -> judged.
set -eu
bin=$(cd "$1" && pwd)
folder=$2
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$folder"
cd "$folder"
run() {
    printf '\n$ %s\n' "$*"
    program=$1
    shift
    "$bin/$program" "$@"
}
# The phantom collection holds a corrupt file on purpose; cleaning reports it and ends with 3.
run_with_failed_images() { run "$@" || [ $? = 3 ]; }

run radrefine demo --out .
run_with_failed_images radrefine clean --src RadImageNet-phantom --out refined
run radrefine audit refined
run radrefine split refined --stratify --out split
# Some hundred images need more passes than the recipe for thousands makes.
run pgnm pretrain split --out heated --epochs 15 --batch-size 32
run pgnm finetune split --from heated --out finetuned --epochs 10 --batch-size 32
run pgnm eval heated split
run pgnm eval heated split --input noisy
run pgnm eval finetuned split
run radrefine report refined
run pgnm report finetuned heated --baseline heated
"$bin/python" "$here/demo_table.py" .
