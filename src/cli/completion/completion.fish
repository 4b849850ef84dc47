# Completion of fail-start for fish. The program itself says what can come next.
function __fail_start_offers
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l offers ($program __offer $words[2..] "$current" 2>/dev/null)
    switch "$offers[1]"
        case ':files'
            set -l option (string match -r '^--[^=]*=' -- $current)
            for path in (__fish_complete_path (string replace -r '^--[^=]*=' '' -- $current))
                echo -- "$option"$path
            end
        case ':command *'
            set -l first (math (string replace ':command ' '' -- $offers[1]) + 2)
            set -l line (string escape -- $words[$first..])
            complete -C (string join ' ' -- $line "$current")
        case '*'
            string join \n -- $offers
    end
end
complete -c fail-start -f -k -a '(__fail_start_offers)'
