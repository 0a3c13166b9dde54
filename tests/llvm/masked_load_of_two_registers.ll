; Two masked loads of two registers each, the first with its lower half off, the second with its
; upper half off. The halves that are off are read without a mask.
; Workaround: masked_load_instructions
; Level: avx2
; Expected: 1 2 3 0 0 0 0 8
define i64 @step(ptr %table, ptr %context) {
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %s = load double, ptr %in, align 8
  %i = insertelement <8 x double> poison, double %s, i64 0
  %t = shufflevector <8 x double> %i, <8 x double> poison, <8 x i32> zeroinitializer
  %k = fcmp ogt <8 x double> %t, zeroinitializer
  %m = and <8 x i1> %k, <i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 true>
  %x = call <8 x double> @llvm.masked.load.v8f64.p0(ptr %in, i32 8, <8 x i1> %m, <8 x double> zeroinitializer)
  %n = and <8 x i1> %k, <i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false>
  %y = call <8 x double> @llvm.masked.load.v8f64.p0(ptr %in, i32 8, <8 x i1> %n, <8 x double> zeroinitializer)
  %r = fadd <8 x double> %x, %y
  store <8 x double> %r, ptr %out, align 8
  ret i64 0
}
declare <8 x double> @llvm.masked.load.v8f64.p0(ptr, i32, <8 x i1>, <8 x double>)
