#include "lmx/text/text_stream.hpp"

#include "check.hpp"

using lmx::TextStream;

TEST("text without stop strings comes through at once") {
  TextStream stream;
  CHECK(stream.push("Hello") == "Hello");
  CHECK(stream.flush().empty());
}

TEST("a code point that comes in pieces is shown when it is whole") {
  TextStream stream;
  CHECK(stream.push("a\xF0\x9F") == "a");
  CHECK(stream.push("\x98").empty());
  CHECK(stream.push("\x80!") == "\xF0\x9F\x98\x80!");
}

TEST("bytes that can never become text are replaced") {
  TextStream stream;
  CHECK(stream.push("\xFFz") == "\xEF\xBF\xBDz");
  CHECK(stream.push("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
}

TEST("a cut-off code point at the end is replaced") {
  TextStream stream;
  CHECK(stream.push("\xE2\x82").empty());
  CHECK(stream.flush() == "\xEF\xBF\xBD");
}

TEST("nothing is shown of a stop string, nor after it") {
  TextStream stream({"END"});
  CHECK(stream.push("one EN") == "one ");
  CHECK(stream.push("D two").empty());
  CHECK(stream.stopped());
  CHECK(stream.push("three").empty() && stream.flush().empty());
}

TEST("what only looked like a stop string is shown later") {
  TextStream stream({"END"});
  CHECK(stream.push("EN").empty());
  CHECK(stream.push("TER") == "ENTER");
  CHECK(stream.push("E").empty());
  CHECK(stream.flush() == "E");
}

TEST("the first of several stop strings counts") {
  TextStream stream({"zz", "b"});
  CHECK(stream.push("abzz") == "a");
  CHECK(stream.stopped());
}

TEST("empty stop strings are ignored") {
  TextStream stream({""});
  CHECK(stream.push("x") == "x" && !stream.stopped());
}
