# segcam's own help says which options there are.
function __segcam_options
    set -l command (commandline -opc)[2..]
    set -l command (string match -r '^(?:run|infer|eval|quantize|bench|inspect|verify|log|doctor)$' -- $command)[1]
    segcam $command --help 2>/dev/null |
        string replace -rf '^ +(?:-\w, +)?(--[a-z-]+)(?:\.\.\.)?(?: <[^>]*>)? +(.*)' '$1\t$2'
end

function __segcam_boards
    for file in /usr/share/segcam/boards/*.toml
        string replace -r '.*/(.*)\.toml$' '$1' $file
    end
end

set -l commands run infer eval quantize bench inspect verify log doctor
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -f
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a run -d 'Camera to screen'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a infer -d 'Label images'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a eval -d 'Compare labels with true ones'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a bench -d 'Measure stages and operators'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a inspect -d 'Tell about a model'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a quantize -d 'Make a float network int8'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a verify -d 'Prove a recording'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a log -d 'Read a journal'
complete -c segcam -n "not __fish_seen_subcommand_from $commands" -a doctor -d 'Look for what is missing'
complete -c segcam -n "string match -q -- '-*' (commandline -ct)" -a '(__segcam_options)'
complete -c segcam -n '__fish_seen_subcommand_from run' -l board -ra '(__segcam_boards)'
complete -c segcam -n '__fish_seen_subcommand_from run' -l camera -xa 'v4l2: file: pipe:- synthetic:portrait synthetic:field'
complete -c segcam -n '__fish_seen_subcommand_from run' -l display -xa 'drm: fbdev: spi: png: terminal: window: null:'
complete -c segcam -n '__fish_seen_subcommand_from run' -l view -xa 'overlay mask side-by-side'
