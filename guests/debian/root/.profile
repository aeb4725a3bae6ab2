export TERM=vt100
PS1='\h:\w# '
stty cols 200 2>/dev/null
