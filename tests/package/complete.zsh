# What zsh would offer: complete.zsh FILE "COMMAND LINE". The functions that offer words print them.
file=$1
words=(${(Q)${(z)2}})
[[ $2 == *' ' ]] && words+=('')
CURRENT=$#words
compadd() { while [[ ${1-} == -* && $1 != -- ]]; do [[ $1 == -S ]] && shift; shift; done; shift; print -l -- "$@" }
_describe() { while [[ $1 == -o ]]; do shift; done; local -a list; list=("${(@P)${@[-1]}}"); print -l -- "${(@)list%%:*}" }
_files() { print -l -- * }
source $file
