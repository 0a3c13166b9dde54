// Expressions that must be refused where the user wrote them.
#pragma once

#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

namespace arete::test {

/// f must throw a GraphError of this line that reads "file:line: text".
template <class F>
void graph_error(const char* file, int line, F f, const std::string& text) {
    CAPTURE(line);
    try {
        f();
    } catch (const GraphError& e) {
        CHECK(std::string(e.what()) == fmt::format("{}:{}: {}", file, line, text));
        CHECK(e.loc().line == line);
        return;
    } catch (const std::exception& e) {
        FAIL_CHECK("not a GraphError but: " << e.what());
        return;
    }
    FAIL_CHECK("no error; expected: " << text);
}

}  // namespace arete::test
