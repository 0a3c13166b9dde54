; As fma_of_splat_negation, with any shuffle of a negated vector, and a factor that is no constant.
; Workaround: unshared_negations
; Level: avx2
; Expected: -20 -15 0 0
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %x = load <4 x double>, ptr %in, align 8
  %at = getelementptr double, ptr %in, i64 4
  %y = load <4 x double>, ptr %at, align 8
  %m = fcmp olt <4 x double> %x, <double 3.0, double 3.0, double 3.0, double 3.0>
  %w = select <4 x i1> %m, <4 x double> <double 4.0, double 4.0, double 4.0, double 4.0>, <4 x double> zeroinitializer
  %n = fneg <4 x double> %x
  %t = shufflevector <4 x double> %n, <4 x double> poison, <4 x i32> <i32 3, i32 2, i32 1, i32 0>
  %z = fsub <4 x double> %y, %y
  %c = select <4 x i1> %m, <4 x double> %t, <4 x double> %z
  %r = call <4 x double> @llvm.fma.v4f64(<4 x double> %w, <4 x double> %t, <4 x double> %c)
  store <4 x double> %r, ptr %out, align 8
  ret i64 0
}
declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)
