// Numbers of things of different kinds, each a type of its own, and containers indexed by them.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace arete {

/// The number of a thing, of the kind that Tag names; none where nothing else is said.
template <class Tag>
class Id {
  public:
    constexpr Id() = default;
    template <std::integral I>
    constexpr explicit Id(I number) : number_(static_cast<int>(number)) {}

    /// Is there one?
    constexpr explicit operator bool() const { return number_ >= 0; }
    /// -1 where there is none.
    constexpr int number() const { return number_; }
    /// Where it stands in a container.
    constexpr std::size_t index() const { return static_cast<std::size_t>(number_); }

    friend constexpr auto operator<=>(Id, Id) = default;
    constexpr Id& operator++() {
        ++number_;
        return *this;
    }
    constexpr Id& operator--() {
        --number_;
        return *this;
    }

  private:
    int number_ = -1;
};

/// The ids below an end, for loops: for (Var v : code.extents.ids()).
template <class I>
class IdRange {
  public:
    explicit IdRange(std::size_t size) : size_(size) {}
    struct Iterator {
        using value_type = I;
        using difference_type = std::ptrdiff_t;
        using reference = I;
        using pointer = void;
        using iterator_category = std::bidirectional_iterator_tag;
        I at;
        I operator*() const { return at; }
        Iterator& operator++() {
            ++at;
            return *this;
        }
        Iterator operator++(int) {
            const Iterator before = *this;
            ++at;
            return before;
        }
        Iterator& operator--() {
            --at;
            return *this;
        }
        Iterator operator--(int) {
            const Iterator before = *this;
            --at;
            return before;
        }
        friend bool operator==(Iterator, Iterator) = default;
    };
    struct Reversed {
        std::reverse_iterator<Iterator> first, last;
        auto begin() const { return first; }
        auto end() const { return last; }
    };
    Iterator begin() const { return {I(0)}; }
    Iterator end() const { return {I(size_)}; }
    /// The same, descending.
    Reversed reversed() const {
        return {std::make_reverse_iterator(end()), std::make_reverse_iterator(begin())};
    }

  private:
    std::size_t size_;
};

/// A vector indexed by ids.
template <class I, class T>
class IdVector : std::vector<T> {
    using Base = std::vector<T>;

  public:
    IdVector() = default;
    explicit IdVector(std::size_t size) : Base(size) {}
    IdVector(std::size_t size, const T& value) : Base(size, value) {}
    IdVector(std::initializer_list<T> values) : Base(values) {}
    explicit IdVector(std::vector<T> values) : Base(std::move(values)) {}
    template <std::input_iterator Iterator>
    IdVector(Iterator begin, Iterator end) : Base(begin, end) {}

    using Base::assign;
    using Base::back;
    using Base::begin;
    using Base::clear;
    using Base::data;
    using Base::emplace_back;
    using Base::empty;
    using Base::end;
    using Base::erase;
    using Base::front;
    using Base::pop_back;
    using Base::push_back;
    using Base::rbegin;
    using Base::rend;
    using Base::reserve;
    using Base::resize;
    using Base::size;
    using typename Base::const_iterator;
    using typename Base::const_reference;
    using typename Base::iterator;
    using typename Base::reference;
    using typename Base::size_type;
    using typename Base::value_type;

    reference operator[](I i) { return Base::operator[](i.index()); }
    const_reference operator[](I i) const { return Base::operator[](i.index()); }
    /// Throws std::out_of_range.
    reference at(I i) { return Base::at(i.index()); }
    const_reference at(I i) const { return Base::at(i.index()); }
    /// Appends an element, and gives its id.
    I add(T value) {
        push_back(std::move(value));
        return I(size() - 1);
    }
    bool contains(I i) const { return i && i.index() < size(); }
    IdRange<I> ids() const { return IdRange<I>(size()); }

    friend bool operator==(const IdVector& a, const IdVector& b) {
        return static_cast<const Base&>(a) == static_cast<const Base&>(b);
    }
};

/// A span indexed by ids.
template <class I, class T>
class IdSpan : std::span<T> {
    using Base = std::span<T>;

  public:
    IdSpan() = default;
    IdSpan(std::span<T> elements) : Base(elements) {}
    template <class Range>
        requires std::constructible_from<Base, Range&&>
    IdSpan(Range&& elements) : Base(std::forward<Range>(elements)) {}

    using Base::begin;
    using Base::data;
    using Base::end;
    using Base::size;
    T& operator[](I i) const { return Base::operator[](i.index()); }
    bool contains(I i) const { return i && i.index() < size(); }
    IdRange<I> ids() const { return IdRange<I>(size()); }
};

}  // namespace arete

template <class Tag>
struct std::hash<arete::Id<Tag>> {
    std::size_t operator()(arete::Id<Tag> i) const noexcept { return std::hash<int>()(i.number()); }
};

template <class Tag>
struct fmt::formatter<arete::Id<Tag>> : fmt::formatter<int> {
    template <class Context>
    auto format(arete::Id<Tag> i, Context& context) const {
        return fmt::formatter<int>::format(i.number(), context);
    }
};
