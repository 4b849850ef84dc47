#compdef fail-start
# Completion of fail-start for zsh. The program itself says what can come next.
_fail-start() {
  local program=${(Q)words[1]} offer
  local -a offers described
  program=${program/#\~\//$HOME/}
  offers=("${(@f)$("$program" __offer "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  case $offers[1] in
  :files)
    compset -P '--*='
    _files
    ;;
  ':command '*)
    # Behind the program's own name, too.
    local behind=$((${offers[1]#:command } + 1))
    shift $behind words
    ((CURRENT -= behind))
    _normal -p fail-start
    ;;
  ?*)
    for offer in $offers; do
      described+=("${${offer%%$'\t'*}//:/\\:}:${offer#*$'\t'}")
    done
    _describe -V fail-start described
    ;;
  esac
}
# Read by a shell that it was put into the search path of, or by `source`.
if [[ $funcstack[1] == _fail-start ]]; then _fail-start "$@"; else compdef _fail-start fail-start; fi
