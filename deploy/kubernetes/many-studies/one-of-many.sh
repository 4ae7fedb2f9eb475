#!/bin/sh
# Runs a command on one of many studies: the folder that studies.txt names in the line of this Job's index.
# Its results go to a folder of the same name; a study that succeeded before is not run again.
set -eu
studies=$HOLOSCAN_INPUT_PATH results=$HOLOSCAN_OUTPUT_PATH
number=$((JOB_COMPLETION_INDEX + 1))
study=$(sed -n "${number}p" "$studies/studies.txt")
case "/$study/" in
  // | */../* | */./*)
    echo "error: $studies/studies.txt: line $number names no folder below it: '$study'" >&2
    exit 2
    ;;
esac
if grep -qs '"status": "success"' "$results/$study/metadata.json"; then
  echo "$study: done before"
  exit 0
fi
HOLOSCAN_INPUT_PATH=$studies/$study HOLOSCAN_OUTPUT_PATH=$results/$study exec "$@"
