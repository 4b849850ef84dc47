# Completion of fail-start for bash. The program itself says what can come next.
_fail_start() {
  # Bash takes --for=30s apart at the =, which is put together here; at[N] is where the Nth word was.
  local words=() at=() i word=
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    # The last one up to the cursor only.
    if ((i == COMP_CWORD)) && [[ $word != = ]]; then word=$2; fi
    if ((${#words[@]})) && [[ $word == = || ${COMP_WORDS[i - 1]} == = ]] && [[ ${words[-1]} == --?* ]]; then
      words[-1]+=$word
    else
      words+=("$word")
      at+=("$i")
    fi
  done
  local offers
  mapfile -t offers < <("${1/#\~\//$HOME/}" __offer "${words[@]}" 2>/dev/null)
  COMPREPLY=()
  case ${offers[0]-} in
  :files) compopt -o default ;;
  ":command "*)
    i=${offers[0]#:command }
    i=${at[i]}
    if declare -F _comp_command_offset >/dev/null; then
      _comp_command_offset "$i"
    elif declare -F _command_offset >/dev/null; then
      _command_offset "$i"
    elif ((i == COMP_CWORD)); then
      mapfile -t COMPREPLY < <(compgen -c -- "$2" | sort -u)
    else
      compopt -o default
    fi
    ;;
  *)
    COMPREPLY=("${offers[@]%%$'\t'*}")
    # What stands before the = is not bash's to complete.
    if [[ ${words[-1]} == --*=* && $COMP_WORDBREAKS == *=* ]]; then COMPREPLY=("${COMPREPLY[@]#*=}"); fi
    ;;
  esac
} && complete -o nosort -F _fail_start fail-start
