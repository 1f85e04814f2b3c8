# segcam's own help says what can follow.
_segcam() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local commands="run infer eval quantize bench inspect verify log doctor help" command= word words
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " $commands " == *" $word "* ]] && command=$word && break
    done
    # Bash parts words at colons: of "v4l2:/dev/video0" it asks for "/dev/video0".
    [[ $previous == : ]] && previous=
    case $previous in
        --board) words=$(cd /usr/share/segcam/boards 2>/dev/null && ls | sed -n 's/\.toml$//p') ;;
        --camera) words="v4l2: file: pipe:- synthetic:portrait synthetic:field" ;;
        --display) words="drm: fbdev: spi: png: terminal: window: null:" ;;
        --view) words="overlay mask side-by-side" ;;
        *)
            if [[ $current == -* ]]; then
                words=$("$1" $command --help 2>/dev/null | grep -oE -- '^ +(-.,)? +--[a-z-]+' | grep -oE -- '--.*')
            elif [[ -z $command ]]; then
                words=$commands
            fi ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _segcam segcam
