// JSON, written piece by piece. Private to the frontend.
#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace arete {

/// A string in quotes. "<" is escaped too, so that the text may stand inside a script element.
inline std::string json_quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\t': out += "\\t"; break;
            case '<': out += "\\u003c"; break;
            default:
                if (static_cast<unsigned char>(c) < 0x20)
                    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
                else
                    out += c;
        }
    return out + "\"";
}

/// Appends values, with the commas between them.
class JsonWriter {
  public:
    JsonWriter& open(char bracket) {
        comma();
        text_ += bracket;
        fresh_ = true;
        return *this;
    }
    JsonWriter& close(char bracket) {
        text_ += bracket;
        fresh_ = false;
        return *this;
    }
    JsonWriter& key(std::string_view name) {
        comma();
        text_ += json_quoted(name) + ":";
        fresh_ = true;
        return *this;
    }
    JsonWriter& value(std::string_view v) { return raw(json_quoted(v)); }
    JsonWriter& value(const char* v) { return value(std::string_view(v)); }
    JsonWriter& value(const std::string& v) { return value(std::string_view(v)); }
    JsonWriter& value(bool v) { return raw(v ? "true" : "false"); }
    JsonWriter& value(int v) { return raw(fmt::format("{}", v)); }
    JsonWriter& value(std::int64_t v) { return raw(fmt::format("{}", v)); }
    JsonWriter& value(double v) {
        return raw(std::isfinite(v) ? fmt::format("{:.6g}", v) : "null");
    }
    template <class T>
    JsonWriter& pair(std::string_view name, const T& v) {
        return key(name).value(v);
    }
    const std::string& text() const { return text_; }

  private:
    JsonWriter& raw(std::string_view v) {
        comma();
        text_ += v;
        fresh_ = false;
        return *this;
    }
    void comma() {
        if (!fresh_) text_ += ',';
    }

    std::string text_;
    bool fresh_ = true;  // no comma is due
};

}  // namespace arete
