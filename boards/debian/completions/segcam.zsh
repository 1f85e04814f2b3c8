#compdef segcam
# segcam's own help says which options there are.
local -a verbs flags
local command=${words[2,CURRENT-1][(r)(run|infer|eval|quantize|bench|inspect|verify|log|doctor)]}

case ${words[CURRENT-1]} in
    --board)
        compadd -- /usr/share/segcam/boards/*.toml(N:t:r)
        _files
        return ;;
    --camera) compadd -S '' -- v4l2: file: pipe:- synthetic:portrait synthetic:field; return ;;
    --display) compadd -S '' -- drm: fbdev: spi: png: terminal: window: null:; return ;;
    --view) compadd -- overlay mask side-by-side; return ;;
esac
if [[ ${words[CURRENT]} == -* ]]; then
    flags=(${(f)"$(${words[1]} $command --help 2>/dev/null |
        sed -nE 's/^ +(-.,)? +(--[a-z-]+)(\.\.\.)?( <[^>]*>)?( +(.*))?$/\2:\6/p')"})
    _describe -o option flags
elif [[ -z $command ]]; then
    verbs=(
        'run:camera to screen'
        'infer:label images'
        'eval:compare labels with true ones'
        'bench:measure stages and operators'
        'inspect:tell about a model'
        'quantize:make a float network int8'
        'verify:prove a recording'
        'log:read a journal'
        'doctor:look for what is missing'
    )
    _describe command verbs
else
    _files
fi
