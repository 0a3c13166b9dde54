// The documentation's code is the examples' code: every C++ block is a region of a compiled
// program.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

const fs::path root = ARETE_SOURCE_DIR;

Lines lines_of(const fs::path& path) {
    std::ifstream file(path);
    REQUIRE_MESSAGE(file.good(), path.string(), " cannot be read");
    Lines out;
    for (std::string line; std::getline(file, line);) {
        line.erase(line.find_last_not_of(" \t\r") + 1);
        out.push_back(line);
    }
    return out;
}

std::string trimmed(const std::string& line) {
    const std::size_t first = line.find_first_not_of(' ');
    return first == std::string::npos ? "" : line.substr(first);
}

// Without the indentation that all lines share, and without empty lines at either end.
std::string dedented(Lines lines) {
    while (!lines.empty() && lines.front().empty()) lines.erase(lines.begin());
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    std::size_t indent = std::string::npos;
    for (const std::string& line : lines)
        if (!line.empty()) indent = std::min(indent, line.find_first_not_of(' '));
    std::string out;
    for (const std::string& line : lines) out += (line.empty() ? line : line.substr(indent)) + "\n";
    return out;
}

// The regions of a source file: from "// [region NAME]" to "// [end]". They do not nest.
std::map<std::string, std::string> regions_of(const fs::path& path) {
    static const std::string open = "// [region ", close = "// [end]";
    std::map<std::string, std::string> regions;
    std::optional<std::string> name;
    Lines body;
    for (const std::string& line : lines_of(path)) {
        const std::string text = trimmed(line);
        if (text.rfind(open, 0) == 0) {
            CHECK_MESSAGE(!name, path.string(), ": region ", name.value_or(""), " has no [end]");
            name = text.substr(open.size(), text.find(']') - open.size());
            CHECK_MESSAGE(regions.count(*name) == 0, path.string(), ": two regions ", *name);
            body.clear();
        } else if (text == close) {
            CHECK_MESSAGE(name, path.string(), ": [end] without a region");
            if (name) regions[*name] = dedented(body);
            name.reset();
        } else if (name) {
            body.push_back(line);
        }
    }
    CHECK_MESSAGE(!name, path.string(), ": region ", name.value_or(""), " has no [end]");
    return regions;
}

// A fenced block of a page, and the marker on the line before it.
struct Block {
    int line = 0;
    std::string language;
    std::string source, region;  // of the marker; empty where there is none
    std::string text;
};

std::vector<Block> blocks_of(const fs::path& page) {
    static const std::string mark = "<!-- snippet: ";
    std::vector<Block> blocks;
    const Lines lines = lines_of(page);
    std::string marker;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const std::string text = trimmed(lines[i]);
        if (text.rfind("```", 0) == 0) {
            Block block{static_cast<int>(i) + 1, text.substr(3), {}, {}, {}};
            Lines body;
            for (++i; i < lines.size() && trimmed(lines[i]) != "```"; ++i) body.push_back(lines[i]);
            block.text = dedented(body);
            if (const std::size_t hash = marker.find('#'); hash != std::string::npos) {
                block.source = marker.substr(0, hash);
                block.region = marker.substr(hash + 1);
            }
            marker.clear();
            blocks.push_back(block);
        } else {
            CHECK_MESSAGE(marker.empty(), page.string(), ":", i, ": a marker without a block");
            marker.clear();
            if (text.rfind(mark, 0) == 0)
                marker = text.substr(mark.size(), text.find(" -->") - mark.size());
        }
    }
    return blocks;
}

std::vector<fs::path> pages() {
    std::vector<fs::path> out{root / "README.md"};
    for (const fs::directory_entry& entry : fs::directory_iterator(root / "docs"))
        if (entry.path().extension() == ".md") out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace

TEST_CASE("every C++ block of the documentation is a region of an example") {
    std::map<std::string, std::map<std::string, std::string>> regions;  // by source, read once
    int found = 0;
    for (const fs::path& page : pages()) {
        const bool readme = page.filename() == "README.md";
        for (const Block& block : blocks_of(page)) {
            const std::string where = fmt::format("{}:{}", page.filename().string(), block.line);
            INFO(where);
            if (block.source.empty()) {
                // The README opens with a sketch of its own.
                CHECK_MESSAGE((readme || (block.language != "cpp" && block.language != "c++")),
                              "a C++ block without a snippet marker");
                continue;
            }
            ++found;
            const fs::path source = root / block.source;
            REQUIRE_MESSAGE(fs::exists(source), block.source, " does not exist");
            if (regions.count(block.source) == 0) regions[block.source] = regions_of(source);
            const auto& named = regions[block.source];
            REQUIRE_MESSAGE(named.count(block.region) == 1, block.source, " has no region ",
                            block.region);
            CHECK(block.text == named.at(block.region));
        }
    }
    CHECK(found > 0);
}

TEST_CASE("links of the documentation lead somewhere") {
    for (const fs::path& page : pages()) {
        bool code = false;
        for (const std::string& line : lines_of(page)) {
            if (trimmed(line).rfind("```", 0) == 0) code = !code;
            if (code) continue;
            for (std::size_t at = line.find("]("); at != std::string::npos;
                 at = line.find("](", at + 1)) {
                std::string target = line.substr(at + 2, line.find(')', at) - at - 2);
                target = target.substr(0, target.find('#'));
                if (target.empty() || target.find("://") != std::string::npos) continue;
                CHECK_MESSAGE(fs::exists(page.parent_path() / target), page.filename().string(),
                              ": ", target);
            }
        }
    }
}
