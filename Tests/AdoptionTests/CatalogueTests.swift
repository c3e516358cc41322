import Adoption
import CRTP
import Foundation
import Testing
import Wire

@Suite struct RequestPathTests {
    @Test(arguments: [
        ("/", "", true), ("/index.html", "index.html", false), ("/a/b/", "a/b", true), ("/a%20b.txt", "a b.txt", false),
        ("/%E2%82%AC", "€", false), ("/a.b..c", "a.b..c", false), ("/x?y=/../z", "x", false), ("/...", "...", false),
    ]) func readsWhatHasOneMeaning(target: String, file: String, isDirectory: Bool) throws {
        let path = try #require(RequestPath(Array(target.utf8)))
        #expect(path.file == file)
        #expect(path.isDirectory == isDirectory)
        #expect(path.hasQuery == target.contains("?"))
    }

    @Test(arguments: [
        "", "a", "*", "/..", "/../etc/passwd", "/a/../b", "/./a", "/a//b", "//a", "/%2e%2e/a", "/a%2Fb", "/a%5cb",
        "/a\\b",
        "/%00", "/a%", "/a%4", "/a%zz", "/a\u{7F}", "/a b", "/a#b", "/%ff", "/a/.", "/%0a",
    ]) func leavesTheRestToTheOrigin(target: String) {
        #expect(RequestPath(Array(target.utf8)) == nil)
    }

    @Test func hasABound() {
        #expect(RequestPath(Array(("/" + String(repeating: "a", count: 5_000)).utf8)) == nil)
        #expect(RequestPath(Array(("/" + String(repeating: "a", count: 300)).utf8)) == nil)
    }
}

@Suite struct CatalogueTests {
    private final class Tree {
        let root = NSTemporaryDirectory() + "baton-tree-\(UUID().uuidString)"
        init() throws {
            try FileManager.default.createDirectory(atPath: root + "/www/sub", withIntermediateDirectories: true)
            for name in ["www/index.html", "www/a.txt", "www/sub/index.html", "secret.txt"] { write(name) }
            try FileManager.default.createSymbolicLink(
                atPath: root + "/www/out.txt", withDestinationPath: "../secret.txt")
            try FileManager.default.createSymbolicLink(atPath: root + "/www/in.txt", withDestinationPath: "a.txt")
        }
        deinit { try? FileManager.default.removeItem(atPath: root) }
        func write(_ name: String) { try! name.write(toFile: "\(root)/\(name)", atomically: false, encoding: .utf8) }

        func catalogue(entries: Int = 1_000, isPublic: Bool = false) throws -> Catalogue {
            var directory = DirectorySite(root: root + "/www")
            directory.indexEntries = entries
            var site = Site(
                origins: [ServicePrefix("10.0.0.0/24:80")!, ServicePrefix("[2001:db8::80]:80")!],
                hosts: [HostPattern("www.example.com")!, HostPattern("*.img.example.com")!],
                content: .directory(directory))
            site.isPublic = isPublic
            return try Catalogue([site])
        }
    }

    private func question(
        _ target: String, host: String = "www.example.com", origin: String = "10.0.0.80:80",
        hasCredentials: Bool = false
    ) -> CatalogueQuestion {
        CatalogueQuestion(
            origin: Endpoint(origin)!, host: host, target: Array(target.utf8), application: .httpGet,
            hasCredentials: hasCredentials)
    }

    @Test func answersForItsFilesOnly() throws {
        let tree = try Tree()
        let catalogue = try tree.catalogue()
        #expect(catalogue.answer(question("/a.txt")) == .document(site: 0, file: "a.txt"))
        #expect(catalogue.answer(question("/in.txt")) == .document(site: 0, file: "in.txt"))
        #expect(catalogue.answer(question("/")) == .document(site: 0, file: "index.html"))
        #expect(catalogue.answer(question("/sub/")) == .document(site: 0, file: "sub/index.html"))
        for missing in ["/sub", "/b.txt", "/out.txt", "/../secret.txt", "/a.txt?x", "/a.txt/"] {
            #expect(catalogue.answer(question(missing)) == .refused(.notFound), "\(missing)")
        }
    }

    @Test func answersForItsHostsAndOriginsOnly() throws {
        let tree = try Tree()
        let catalogue = try tree.catalogue()
        let good = CatalogueAnswer.document(site: 0, file: "a.txt")
        #expect(catalogue.answer(question("/a.txt", origin: "[2001:db8::80]:80")) == good)
        #expect(catalogue.answer(question("/a.txt", host: "x.y.img.example.com")) == good)
        for (host, origin) in [
            ("example.com", "10.0.0.80:80"), ("img.example.com", "10.0.0.80:80"), ("www.example.com", "10.0.1.80:80"),
            ("www.example.com", "10.0.0.80:81"), ("", "10.0.0.80:80"),
        ] {
            #expect(
                catalogue.answer(question("/a.txt", host: host, origin: origin)) == .refused(.policy),
                "\(host) \(origin)")
        }
    }

    @Test func credentialsAreTheOriginsUnlessTheSiteIsPublic() throws {
        let tree = try Tree()
        #expect(try tree.catalogue().answer(question("/a.txt", hasCredentials: true)) == .refused(.policy))
        let open = try tree.catalogue(isPublic: true)
        #expect(open.answer(question("/a.txt", hasCredentials: true)) == .document(site: 0, file: "a.txt"))
    }

    @Test func followsTheFileSystem() throws {
        let tree = try Tree()
        let catalogue = try tree.catalogue()
        let index = try #require(catalogue.sites[0].index)
        func has(_ target: String) -> Bool {
            index.takeChanges()
            return catalogue.answer(question(target)) != .refused(.notFound)
        }
        tree.write("www/new.txt")
        #expect(has("/new.txt"))
        try FileManager.default.removeItem(atPath: tree.root + "/www/new.txt")
        #expect(!has("/new.txt"))
        try FileManager.default.createDirectory(atPath: tree.root + "/www/deep/er", withIntermediateDirectories: true)
        tree.write("www/deep/er/x.txt")
        #expect(has("/deep/er/x.txt"))
        tree.write("www/deep/er/y.txt")
        #expect(has("/deep/er/y.txt"))
        try FileManager.default.moveItem(atPath: tree.root + "/www/deep", toPath: tree.root + "/gone")
        #expect(!has("/deep/er/x.txt"))
        try FileManager.default.moveItem(atPath: tree.root + "/gone", toPath: tree.root + "/www/back")
        #expect(has("/back/er/y.txt"))
    }

    @Test func aFullIndexLooksAtTheDisk() throws {
        let tree = try Tree()
        let catalogue = try tree.catalogue(entries: 1)
        #expect(catalogue.sites[0].index?.isComplete == false)
        #expect(catalogue.answer(question("/a.txt")) == .document(site: 0, file: "a.txt"))
        #expect(catalogue.answer(question("/out.txt")) == .refused(.notFound))
        #expect(catalogue.answer(question("/none.txt")) == .refused(.notFound))
    }

    @Test func aFileThatLeavesTheRootIsNotOpened() throws {
        let tree = try Tree()
        let root = canonicalPath(tree.root + "/www")!
        #expect(Document(root: root, file: "out.txt") == nil)
        #expect(Document(root: root, file: "../secret.txt") == nil)
        #expect(Document(root: root, file: "sub") == nil)
        let document = try #require(Document(root: root, file: "in.txt"))
        #expect(document.bytes == "www/a.txt".utf8.count)
        close(document.descriptor)
    }
}
