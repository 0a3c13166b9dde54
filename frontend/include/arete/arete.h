// Arete's public interface.
#pragma once

#include "compiler/grad/grad.h"
#include "compiler/graph/pp.h"
#include "compiler/ops/convolution.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/ops/special.h"
#include "frontend/function.h"
#include "frontend/random.h"
#include "frontend/scan.h"
#include "frontend/shared.h"
#include "frontend/variables.h"
#include "frontend/verify_grad.h"
