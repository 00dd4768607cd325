#include "messenger/preview/html.hpp"

#include <doctest/doctest.h>

#include <string>

#include "base/text.hpp"
#include "messenger/preview/html_charset.hpp"
#include "messenger/preview/html_tokens.hpp"
#include "messenger/preview/html_url.hpp"

using namespace haechi;
using namespace haechi::messenger::preview;

namespace {

json::object graph(std::string_view html, std::string_view content_type = "text/html; charset=utf-8") {
  return open_graph({.bytes = html, .url = "https://example.org/dir/page?q=1#top", .content_type = content_type});
}

std::string text(const json::object& graph, std::string_view key) {
  return std::string(get_string(graph, key).value_or("(none)"));
}

}  // namespace

TEST_CASE("a page's OpenGraph members become the preview") {
  const json::object out = graph(R"html(<!doctype html><html prefix="og: https://ogp.me/ns#"><head>
    <title>Not this</title>
    <meta property="og:title" content="  The &amp; Rock
      (1996) ">
    <meta property="og:type" content="video.movie"/>
    <meta property="og:url" content="/title/tt0117500/">
    <meta property="og:image" content="//cdn.example.org/rock image.jpg#x">
    <meta property="og:image" content="/second.jpg">
    <meta property="og:image:width" content="1200"><meta property="og:image:height" content="wide">
    <meta property="og:image:alt" content="A rock">
    <meta property="OG:Site_Name" content="IMDb">
    <meta property="og:description" content="">
    <meta property="og:bad key" content="x"><meta property="fb:app_id" content="1">
    <meta name="description" content="Sean Connery"></head><body><p>text</p></body></html>)html");
  CHECK(out == json::parse(R"json({"og:title":"The & Rock (1996)","og:type":"video.movie",
    "og:url":"https://example.org/title/tt0117500/","og:image":"https://cdn.example.org/rock%20image.jpg",
    "og:image:width":1200,"og:image:alt":"A rock","og:site_name":"IMDb","og:description":"Sean Connery"})json")
                   .as_object());
}

TEST_CASE("what a page does not say is found elsewhere in it") {
  struct Row {
    std::string_view html;
    std::string_view key;
    std::string_view expected;
  };
  constexpr Row kRows[] = {
      {"<title>T</title>", "og:title", "T"},
      {"<title> </title><title>Second</title>", "og:title", "Second"},
      {"<TITLE>a&lt;b&gt;c</TITLE>", "og:title", "a<b>c"},
      {"<title>T</title><meta name='twitter:title' content='Tw'>", "og:title", "Tw"},
      {"<meta property='twitter:title' content='Tw'>", "og:title", "Tw"},
      {"<body><h2>Some <i>big</i> news</h2><h1>No</h1>", "og:title", "Some big news"},
      {"<p>nothing</p>", "og:title", "(none)"},
      {"<meta name=Description content=D>", "og:description", "D"},
      {"<meta name='twitter:description' content='Tw'><meta name=description content=D>", "og:description", "Tw"},
      {"<head><style>p{}</style></head><body><script>var x='</p>';</script><nav>Menu</nav><header>Top</header>"
       "<p>First <b>bold</b>ness.</p><p>Second&nbsp;&eacute;.</p><noscript>no</noscript><footer>Foot</footer>",
       "og:description", "First boldness. Second \xC3\xA9."},
      {"just text", "og:description", "just text"},
      {"<meta property='og:image:secure_url' content='https://x.org/s.png'>", "og:image", "https://x.org/s.png"},
      {"<meta name='twitter:image' content='t.png'>", "og:image", "https://example.org/dir/t.png"},
      {"<link rel='image_src' href='l.png'>", "og:image", "https://example.org/dir/l.png"},
      {"<link rel='shortcut icon' href='/favicon.ico'>", "og:image", "https://example.org/favicon.ico"},
      {"<link rel=icon href=/i.png><link rel='apple-touch-icon' href=/t.png>", "og:image", "https://example.org/t.png"},
      {"<img src=a.png width=1 height=1><img src=b.png width=200 height=100><img src=c.png width=100 height=100>",
       "og:image", "https://example.org/dir/b.png"},
      {"<img src=a.png>", "og:image", "(none)"},
      {"<meta itemprop=image content=/item.png>", "og:image", "https://example.org/item.png"},
      {"<meta property='og:image' content='data:image/png;base64,AA'><link rel=icon href=/i.png>", "og:image",
       "https://example.org/i.png"},
      {"<meta property='og:image' content='javascript:alert(1)'>", "og:image", "(none)"},
      {"<base href='/other/'><meta property='og:image' content='a.png'>", "og:image",
       "https://example.org/other/a.png"},
      {"<base href='https://cdn.net/x/y'><meta property='og:image' content='a.png'>", "og:image",
       "https://cdn.net/x/a.png"},
      {"<svg><title>Logo</title></svg><title>Page</title>", "og:title", "Page"},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.html);
    CHECK(text(graph(row.html), row.key) == row.expected);
  }
}

TEST_CASE("a page is read in the encoding it is written in") {
  struct Row {
    std::string_view content_type;
    std::string_view html;
    std::string_view title;
  };
  using namespace std::string_view_literals;
  constexpr Row kRows[] = {
      {"text/html; charset=utf-8", "<title>해치</title>", "해치"},
      {"text/html", "<title>해치</title>", "해치"},
      {"", "<meta charset='iso-8859-1'><title>caf\xE9 \x80</title>", "café €"},
      {"text/html", "<title>caf\xE9</title>", "café"},
      {"text/html; charset=\"EUC-KR\"", "<title>\xC7\xD8\xC4\xA1</title>", "해치"},
      {"text/html",
       "<meta http-equiv=Content-Type content='text/html; charset=ks_c_5601-1987'><title>\xC7\xD8\xC4\xA1</title>",
       "해치"},
      {"text/html", "<?xml version='1.0' encoding='shift_jis'?><title>\x93\xFA\x96\x7B</title>", "日本"},
      {"text/html; charset=windows-1251", "<meta charset=utf-8><title>\xCF\xF0\xE8</title>", "При"},
      {"text/html; charset=utf-8", "<meta charset=windows-1251><title>При</title>", "При"},
      {"text/html; charset=iso-8859-1", "\xEF\xBB\xBF<title>При</title>", "При"},
      {"text/html", "\xFF\xFE<\0t\0i\0t\0l\0e\0>\0\x04\xD5\x58\xCE<\0/\0t\0i\0t\0l\0e\0>\0"sv, "프치"},
      {"text/html; charset=utf-16be", "\0<\0t\0i\0t\0l\0e\0>\xD5\x74"sv, "해"},
      {"text/html; charset=no-such-thing", "<title>해</title>", "해"},
      {"text/html; charset=utf-8", "<title>a\xFF\xFEz</title>", "a\xEF\xBF\xBD\xEF\xBF\xBDz"},
      {"text/html", "<meta charset=utf-16><title>해</title>", "해"},
      {"text/html", "<title>a\0z</title>"sv, "a\xEF\xBF\xBDz"},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.content_type);
    CAPTURE(row.title);
    CHECK(text(graph(row.html, row.content_type), "og:title") == row.title);
  }
  CHECK(charset_of_content_type("text/html; a=b; Charset = 'x-y' ; c=d") == "x-y");
  CHECK(charset_of_content_type("text/charset=x").empty());
}

TEST_CASE("links are made absolute as RFC 3986 says") {
  struct Row {
    std::string_view reference;
    std::string_view expected;  ///< empty: refused
  };
  // Section 5.4, with http for the base's scheme, without fragments and user names.
  constexpr std::string_view kBase = "http://a/b/c/d;p?q";
  constexpr Row kRows[] = {
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"g#s", "http://a/b/c/g"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"HTTPS://X.org", "https://X.org/"},
      {" \n/g\t", "http://a/g"},
      {"/a\nb", "http://a/ab"},
      {"/한", "http://a/%ED%95%9C"},
      {"/a b", "http://a/a%20b"},
      {"/a%20b", "http://a/a%20b"},
      {"https://h:8080/x", "https://h:8080/x"},
      {"", ""},
      {"#s", ""},
      {"data:x", ""},
      {"javascript:alert(1)", ""},
      {"ftp://x/", ""},
      {"http:g", ""},
      {"http://", ""},
      {"http://u:p@h/", ""},
      {"//u@h", ""},
      {"http://a b/", ""},
      {"https:///x", ""},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.reference);
    CHECK(resolve_url(kBase, row.reference).value_or("") == row.expected);
  }
  CHECK(resolve_url("http://a", "g") == "http://a/g");
  CHECK(resolve_url("http://a?q", "g") == "http://a/g");
  CHECK_FALSE(resolve_url("mailto:x", "g"));
  CHECK_FALSE(resolve_url(kBase, std::string(kUrlBytesMax + 1, 'a')));
  CHECK_FALSE(resolve_url(kBase, "/" + std::string(kUrlBytesMax - 1, ' ') + "x"));
}

TEST_CASE("a page is taken apart as browsers do") {
  struct Row {
    std::string_view html;
    std::string_view tokens;  ///< <name key=value>, </name>, 'text', "raw text"
  };
  constexpr Row kRows[] = {
      {"a<b>c</B >d", "'a'<b>'c'</b>'d'"},
      {"<a HREF=x/y b='1 2' c = \"3>\" d e=f/>", "<a HREF=x/y b=1 2 c=3> d= e=f/>"},
      {"<br/><br / x>", "<br><br x=>"},
      {"<p =a=b>", "<p =a=b>"},
      {"1 < 2 <3 </ 4> <", "'1 ''< 2 ''<3 '' ''<'"},
      {"<!doctype html><?xml x?><!-- <a> - -- -->x<!-->y<!--->z<!--", "'x''y''z'"},
      {"<script>if (a<b) '</p>' <!-- </scriptx></SCRIPT x>y",
       "<script>\"if (a<b) '</p>' <!-- </scriptx>\"</script x=>'y'"},
      {"<title>a<b>&amp;</title>", "<title>'a<b>&amp;'</title>"},
      {"<style></style>", "<style>\"\"</style>"},
      {"<style>x", "<style>\"x\""},
      {"<a b='", "<a b=>"},
      {"<a b", "<a b=>"},
      {"<a b=", "<a b=>"},
      {"<a", "<a>"},
      {"</", "'</'"},
      {"", ""},
  };
  for (const Row& row : kRows) {
    std::string seen;
    HtmlTokens tokens(row.html);
    for (const HtmlToken* t = &tokens.next(); t->kind != HtmlToken::Kind::End; t = &tokens.next()) {
      if (t->kind == HtmlToken::Kind::Text) {
        seen += (t->raw ? "\"" : "'") + std::string(t->text) + (t->raw ? "\"" : "'");
        continue;
      }
      seen += (t->kind == HtmlToken::Kind::Open ? "<" : "</") + t->name;
      for (const auto& [key, value] : t->attributes) seen += " " + std::string(key) + "=" + std::string(value);
      seen += ">";
    }
    CHECK(seen == row.tokens);
  }
}

TEST_CASE("character references are resolved") {
  constexpr std::pair<std::string_view, std::string_view> kRows[] = {
      {"a &amp; b", "a & b"},
      {"&eacute;&hellip;&nbsp;", "é…\xC2\xA0"},
      {"&#233;&#xE9;&#XE9", "ééé"},
      {"&#x1F525;", "🔥"},
      {"&#0;&#xD800;&#99999999999;", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"?a=1&copy=2&b", "?a=1&copy=2&b"},
      {"&;&#;&#x;&nosuch;&", "&;&#;&#x;&nosuch;&"},
      {"&apos;&quot;&lt;", "'\"<"},
  };
  for (const auto& [given, expected] : kRows) CHECK(decode_entities(given) == expected);
}

TEST_CASE("everything in the answer is bounded") {
  std::string many;
  for (int i = 0; i < 500; ++i) {
    many += "<meta property='og:x" + std::to_string(i) + "' content='y'>";
  }
  CHECK(graph(many).size() == kPropertiesMax);
  const std::string han = [] {
    std::string s;
    for (int i = 0; i < 3000; ++i) s += "한";
    return s;
  }();
  const json::object out = graph("<title>" + han + "</title><p>" + han + "</p>");
  CHECK(utf8_length(text(out, "og:title")) == kTextCharsMax);
  CHECK(utf8_length(text(out, "og:description")) == kSummaryCharsMax);
  CHECK(text(out, "og:title").ends_with("한…"));
  const std::string fits(kTextCharsMax, 'a');
  CHECK(text(graph("<title>" + fits + "</title>"), "og:title") == fits);
  CHECK(text(graph("<title>" + fits + " </title>"), "og:title") == fits);
  CHECK(utf8_length(text(graph("<title>" + fits + " b</title>"), "og:title")) == kTextCharsMax);
}

TEST_CASE("hostile pages end quickly and harmlessly") {
  const auto repeat = [](std::string_view what) {
    std::string s;
    while (s.size() < 2 * kHtmlBytesMax) s += what;
    return s;
  };
  for (const std::string_view what : {"<b>",
                                      "</i>",
                                      "<b></i>",
                                      "<p",
                                      "<meta property='og:a",
                                      "&",
                                      "&#xD800;",
                                      "<!--",
                                      "<![CDATA[",
                                      "<?",
                                      "\"",
                                      "<a ",
                                      "<title>",
                                      "<base href=x>",
                                      "<img width=99 height=99 src=a>",
                                      "<svg><title>",
                                      "<link rel='a a a a a a a icon'>",
                                      "\xED\x95",
                                      "]]>",
                                      "<frameset>",
                                      "<table><tr><td>",
                                      "<select><option>",
                                      "<script>",
                                      "</p><form>",
                                      "a=\"",
                                      "<p a='b' "}) {
    CAPTURE(what);
    static_cast<void>(graph("<title>T</title>" + repeat(what)));
    static_cast<void>(graph(repeat(what), ""));
  }
  CHECK(text(graph(repeat("<div>").substr(0, 500'000) + "<title>T</title>"), "og:title") == "T");
  std::string attributes = "<meta property='og:title' content='T' ";
  for (int i = 0; attributes.size() < kHtmlBytesMax; ++i) attributes += "x" + std::to_string(i) + " ";
  CHECK(text(graph(attributes), "og:title") == "T");
  CHECK(graph("").empty());
  CHECK(open_graph({}).empty());
  CHECK(text(open_graph({.bytes = "<title>T</title><link rel=icon href=/x>", .url = "nonsense"}), "og:image") ==
        "(none)");
}
