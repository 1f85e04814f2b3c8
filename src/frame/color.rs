//! Y'CbCr to R'G'B' in integers: the same bits on every machine.
