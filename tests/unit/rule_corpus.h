// Expressions for rules whose patterns leave too much open to be built from.
#pragma once

#include <functional>
#include <vector>

#include <arete/arete.h>

struct Written {
    const char* rule;
    /// x and y are matrices [5,7], positive where floats.
    std::function<arete::Expr(const arete::Expr& x, const arete::Expr& y)> build;
};

const std::vector<Written>& written_for_rules();
