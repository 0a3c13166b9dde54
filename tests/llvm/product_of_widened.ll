; A constant and a number are widened and multiplied, and half of the
; products is stored. Crashes while instructions for AVX-512 are selected ("Cannot select").
; Workaround: opaque_factors
; Level: zen4
; Expected: 5.299808824e-315
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %high = getelementptr i8, ptr %in, i64 4
  %a = load <8 x i32>, ptr %high, align 4
  %s = shufflevector <8 x i32> <i32 1, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <8 x i32> %a, <8 x i32> <i32 0, i32 1, i32 2, i32 8, i32 poison, i32 poison, i32 poison, i32 poison>
  %x = sext <8 x i32> %s to <8 x i64>
  %y = sext <8 x i32> %a to <8 x i64>
  %p = mul <8 x i64> %x, %y
  %h = shufflevector <8 x i64> %p, <8 x i64> zeroinitializer, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  store <4 x i64> %h, ptr %out, align 8
  ret i64 0
}
