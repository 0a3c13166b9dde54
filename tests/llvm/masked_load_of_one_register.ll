; Masked loads of a register each: that all lanes of the second are off shows only while
; instructions are selected. Its memory is read without a mask.
; Workaround: masked_load_instructions
; Level: avx2
; Expected: 0 0 0 4 0 0 0
define i64 @step(ptr %table, ptr %context) {
entry:
  %in = load ptr, ptr %table, align 8
  %slot = getelementptr ptr, ptr %table, i64 1
  %out = load ptr, ptr %slot, align 8
  %s = load double, ptr %in, align 8
  br label %body

body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %c = fcmp ogt double %s, 0.0
  %first = insertelement <8 x i1> poison, i1 %c, i64 0
  %splat = shufflevector <8 x i1> %first, <8 x i1> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 poison>
  %on = and <8 x i1> %splat, <i1 false, i1 false, i1 false, i1 true, i1 false, i1 false, i1 false, i1 poison>
  %all = insertelement <8 x i1> %on, i1 false, i64 7
  %m = shufflevector <8 x i1> %all, <8 x i1> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %x = call <4 x double> @llvm.masked.load.v4f64.p0(ptr %in, i32 8, <4 x i1> %m, <4 x double> zeroinitializer)
  %n = shufflevector <8 x i1> %all, <8 x i1> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %at = getelementptr double, ptr %in, i64 4
  %y = call <4 x double> @llvm.masked.load.v4f64.p0(ptr %at, i32 8, <4 x i1> %n, <4 x double> zeroinitializer)
  %both = shufflevector <4 x double> %x, <4 x double> %y, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %r = fadd <8 x double> %both, zeroinitializer
  %kept = shufflevector <8 x double> %r, <8 x double> poison, <7 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6>
  store <7 x double> %kept, ptr %out, align 8
  %next = add i64 %i, 1
  %again = icmp slt i64 %next, 1
  br i1 %again, label %body, label %done

done:
  ret i64 0
}
declare <4 x double> @llvm.masked.load.v4f64.p0(ptr, i32, <4 x i1>, <4 x double>)
