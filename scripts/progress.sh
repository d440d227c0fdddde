# Sourced by the scripts: quiet work with a sign of life. Everything goes to stderr; what a step
# prints goes to its log, which is shown when the step fails.
#
#   step "Building" LOG COMMAND…   runs COMMAND; its status is returned
# Inside COMMAND, a line "@progress 42 what" on descriptor 9 moves the figure that is shown.

progress_on_terminal() { [ -t 2 ]; }

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Shows "title: 42 % what", rewritten in place on a terminal and every 25 % elsewhere.
progress_show() {
  local title=$1 mark percent what last=-1
  while read -r mark percent what; do
    [ "$mark" = "@progress" ] || continue
    percent=${percent%%.*}
    if progress_on_terminal; then
      printf '\r\033[K%s: %d %% %.50s' "$title" "$percent" "$what" >&2
    elif ((percent / 25 > last / 25)); then
      say "  $title: $percent %"
    fi
    last=$percent
  done
}

step() {
  local title=$1 log=$2 status=0 started=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  progress_on_terminal || say "$title…"
  # The pipe's reader ends when COMMAND has closed descriptor 9.
  { "$@" 9>&1 >"$log" 2>&1 </dev/null; } | progress_show "$title"
  status=${PIPESTATUS[0]}
  progress_on_terminal && printf '\r\033[K' >&2
  if [ "$status" -eq 0 ]; then
    say "$title: done ($((SECONDS - started)) s)"
  else
    say "$title: failed. The end of $log:"
    tail -n 40 "$log" >&2
  fi
  return "$status"
}

# ninja's "[12/345] Building …" as progress.
ninja_progress() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line"
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (.*) ]]; then
      echo "@progress $((BASH_REMATCH[1] * 100 / BASH_REMATCH[2])) ${BASH_REMATCH[3]##*/}" >&9
    fi
  done
}

# Configures and builds a target of a preset: build_preset NAME TARGET [cmake arguments…]
build_preset() {
  local preset=$1 target=$2
  shift 2
  (
    set -o pipefail
    cmake --preset "$preset" "$@" && cmake --build --preset "$preset" --target "$target" 2>&1 | ninja_progress
  )
}
