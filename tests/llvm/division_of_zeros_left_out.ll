; Lane 0 of both operands is known to be zero, so the quotient's is taken to be zero: the choice of
; zero for it is left out, and 0 / 0 is stored.
; Workaround: opaque_divisors
; Level: baseline
; Expected: 0 0.2
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %a = load <2 x double>, ptr %in, align 8
  %at = getelementptr double, ptr %in, i64 4
  %b = load <2 x double>, ptr %at, align 8
  %x = shufflevector <2 x double> zeroinitializer, <2 x double> %a, <2 x i32> <i32 0, i32 2>
  %y = shufflevector <2 x double> zeroinitializer, <2 x double> %b, <2 x i32> <i32 0, i32 2>
  %d = fdiv <2 x double> %x, %y
  %r = select <2 x i1> <i1 false, i1 true>, <2 x double> %d, <2 x double> zeroinitializer
  store <2 x double> %r, ptr %out, align 8
  ret i64 0
}
