#!/bin/sh
# Runs a command on one of many studies: the folder in the line of studies.txt that has the index of this Job.
# Results are written to a folder of the same name. A study that succeeded before is skipped.
set -eu
studies=$HOLOSCAN_INPUT_PATH results=$HOLOSCAN_OUTPUT_PATH
number=$((JOB_COMPLETION_INDEX + 1))
study=$(sed -n "${number}p" "$studies/studies.txt")
case "/$study/" in
  // | */../* | */./*)
    echo "error: $studies/studies.txt: line $number is not the name of a folder below $studies: '$study'" >&2
    exit 2
    ;;
esac
if grep -qs '"status": "success"' "$results/$study/metadata.json"; then
  echo "$study: skipped, already segmented"
  exit 0
fi
HOLOSCAN_INPUT_PATH=$studies/$study HOLOSCAN_OUTPUT_PATH=$results/$study exec "$@"
