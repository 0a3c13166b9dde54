; A splat of a negated number is a factor of a fused multiply-add and one arm of a choice that is
; added. x86 tries to take the signs into the instruction: it makes the splat of the number itself
; for the factor, makes it again for the choice, finds that this gains nothing, and deletes it: the
; factor is gone. Crashes while instructions are selected.
; Workaround: unshared_negations
; Level: avx2
; Expected: -1 -1 0 0
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %s = load double, ptr %in, align 8
  %x = load <4 x double>, ptr %in, align 8
  %m = fcmp olt <4 x double> %x, <double 3.0, double 3.0, double 3.0, double 3.0>
  %n = fneg double %s
  %i = insertelement <4 x double> poison, double %n, i64 0
  %t = shufflevector <4 x double> %i, <4 x double> poison, <4 x i32> zeroinitializer
  %c = select <4 x i1> %m, <4 x double> %t, <4 x double> zeroinitializer
  %r = call <4 x double> @llvm.fma.v4f64(<4 x double> zeroinitializer, <4 x double> %t, <4 x double> %c)
  store <4 x double> %r, ptr %out, align 8
  ret i64 0
}
declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)
