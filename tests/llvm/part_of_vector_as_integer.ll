; Eight of sixteen numbers, which LLVM's passes have taken with wide integers, are shuffled, widened
; and multiplied. Crashes while instructions for AVX-512 are selected.
; Workaround: parts_of_vectors
; Level: avx512
; Expected: 3.0000000000000009
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %w = load <16 x i32>, ptr %in, align 8
  %y = load <8 x i64>, ptr %in, align 8
  %i = bitcast <16 x i32> %w to i512
  %t = trunc i512 %i to i256
  %v = bitcast i256 %t to <8 x i32>
  %s = shufflevector <8 x i32> %v, <8 x i32> zeroinitializer, <8 x i32> <i32 poison, i32 poison, i32 1, i32 poison, i32 poison, i32 poison, i32 poison, i32 poison>
  %x = sext <8 x i32> %s to <8 x i64>
  %p = mul <8 x i64> %y, %x
  %o = or <8 x i64> %y, %p
  %q = or <8 x i64> %o, <i64 1, i64 1, i64 1, i64 1, i64 1, i64 1, i64 1, i64 1>
  %a = add <8 x i64> %q, <i64 1, i64 1, i64 1, i64 1, i64 1, i64 1, i64 1, i64 1>
  %r = or <8 x i64> %a, %y
  %z = extractelement <8 x i64> %r, i64 2
  store i64 %z, ptr %out, align 8
  ret i64 0
}
