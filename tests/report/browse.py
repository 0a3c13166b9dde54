#!/usr/bin/env python3
"""Opens a report in headless Chromium over the DevTools protocol, uses it, and checks what shows.

Usage: browse.py CHROMIUM PAGE [SCREENSHOT_FOLDER]. Prints what is wrong and exits with 1: an error
or warning on the console, an exception, a request to the network, or a page that does not show what
it should.
"""
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time


class Browser:
    """Chromium with the protocol on a pair of pipes (its file descriptors 3 and 4)."""

    def __init__(self, path, folder):
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        shell = 'exec 3<&%d 4>&%d; exec "$@"' % (to_read, to_write)
        self.process = subprocess.Popen(
            ['bash', '-c', shell, 'bash', path, '--headless=new', '--no-sandbox', '--disable-gpu',
             '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
             '--disable-background-networking', '--user-data-dir=' + folder,
             '--remote-debugging-pipe', '--window-size=1440,900', 'about:blank'],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.data = b''
        self.number = 0
        self.events = []

    def message(self, deadline):
        while b'\0' not in self.data:
            ready, _, _ = select.select([self.back], [], [], max(0.0, deadline - time.time()))
            if not ready:
                raise TimeoutError('Chromium does not answer')
            piece = os.read(self.back, 1 << 20)
            if not piece:
                raise EOFError('Chromium has ended')
            self.data += piece
        text, self.data = self.data.split(b'\0', 1)
        return json.loads(text)

    def call(self, method, session=None, seconds=60, **params):
        self.number += 1
        request = {'id': self.number, 'method': method, 'params': params}
        if session:
            request['sessionId'] = session
        data = json.dumps(request).encode() + b'\0'
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.time() + seconds
        while True:
            m = self.message(deadline)
            if m.get('id') == self.number:
                if 'error' in m:
                    raise RuntimeError('%s: %s' % (method, m['error']))
                return m['result']
            self.events.append(m)

    def close(self):
        try:
            self.call('Browser.close', seconds=10)
        except (OSError, EOFError, TimeoutError, RuntimeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Page:
    def __init__(self, browser, url, problems):
        self.browser = browser
        self.problems = problems
        target = browser.call('Target.createTarget', url='about:blank')['targetId']
        self.session = browser.call('Target.attachToTarget', targetId=target,
                                    flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(domain + '.enable')
        self.call('Page.navigate', url=url)
        self.wait('document.readyState === "complete" && document.title')

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def eval(self, script):
        r = self.call('Runtime.evaluate', expression=script, returnByValue=True)
        if 'exceptionDetails' in r:
            e = r['exceptionDetails']
            raise AssertionError('%s: %s' % (script, e.get('exception', e).get('description', e)))
        return r['result'].get('value')

    def wait(self, script, seconds=30):
        end = time.time() + seconds
        while not self.eval(script):
            if time.time() > end:
                raise AssertionError('never true: ' + script)
            time.sleep(0.05)

    def check(self, script, what):
        if not self.eval(script):
            self.problems.append('%s: not so: %s' % (what, script))

    def point(self, selector):
        """The middle of what the selector finds, in the window."""
        return self.eval('(() => { const e = document.querySelector(%s); '
                         'if (!e) throw Error("there is no " + %s); '
                         'e.scrollIntoView({block: "nearest"}); const b = e.getBoundingClientRect(); '
                         'return [b.x + b.width / 2, b.y + b.height / 2]; })()'
                         % (json.dumps(selector), json.dumps(selector)))

    def mouse(self, kind, at, **more):
        self.call('Input.dispatchMouseEvent', type=kind, x=at[0], y=at[1], **more)

    def click(self, selector):
        at = self.point(selector)
        self.mouse('mouseMoved', at)
        self.mouse('mousePressed', at, button='left', clickCount=1)
        self.mouse('mouseReleased', at, button='left', clickCount=1)

    def hover(self, selector):
        self.mouse('mouseMoved', self.point(selector))

    def type(self, selector, text):
        self.eval('document.querySelector(%s).focus()' % json.dumps(selector))
        self.call('Input.insertText', text=text)

    def press(self, key):
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key,
                      windowsVirtualKeyCode={'Enter': 13, 'ArrowDown': 40}[key])

    def shot(self, folder, name):
        if folder:
            image = self.call('Page.captureScreenshot')['data']
            with open(os.path.join(folder, name + '.png'), 'wb') as f:
                f.write(base64.b64decode(image))

    def dark(self, on):
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if on else 'light'}])

    def collect(self):
        """Turns what was reported meanwhile into problems."""
        self.eval('1')
        for m in self.browser.events:
            p = m.get('params', {})
            if m['method'] == 'Runtime.exceptionThrown':
                e = p['exceptionDetails']
                self.problems.append('exception: %s' % e.get('exception', e).get('description', e))
            elif m['method'] == 'Runtime.consoleAPICalled' and p['type'] in ('error', 'warning', 'assert'):
                self.problems.append('console.%s: %s' % (p['type'], p['args']))
            elif m['method'] == 'Log.entryAdded' and p['entry']['level'] in ('error', 'warning'):
                self.problems.append('log: %s' % p['entry']['text'])
            elif m['method'] == 'Network.requestWillBeSent':
                url = p['request']['url']
                if not url.startswith(('file:', 'data:', 'about:')):
                    self.problems.append('request to the network: ' + url)
        self.browser.events = []


def use(page, shots):
    shown = '[...document.querySelectorAll("section")].filter(s => getComputedStyle(s).display !== "none").map(s => s.id).join()'
    data = json.loads(page.eval('document.getElementById("data").textContent'))
    page.check(shown + ' === "overview"', 'the first tab')
    page.check('document.querySelectorAll("#facts .fact").length >= 6', 'facts')
    page.check('document.querySelectorAll("#passes tbody tr").length === %d' % len(data['passes']), 'passes')
    page.shot(shots, 'overview')

    # The graph: every node that is no constant is drawn; none covers another.
    page.click('button[data-tab=graph]')
    page.check(shown + ' === "graph"', 'the graph tab')
    last = data['graphs'][-1]
    nodes = [n for i, n in enumerate(last['nodes'])
             if n['kind'] != 'constant' or any(r['id'] == i for r in last['roots'])]
    page.check('document.querySelectorAll("#canvas .n").length === %d' % len(nodes), 'nodes drawn')
    page.check('(() => { const r = [...document.querySelectorAll("#canvas .n > rect:first-child")]'
               '.map(e => e.getBoundingClientRect()); return r.every((a, i) => r.every((b, k) => '
               'k <= i || a.right <= b.left + .5 || b.right <= a.left + .5 || '
               'a.bottom <= b.top + .5 || b.bottom <= a.top + .5)); })()', 'boxes lie apart')
    page.check('document.querySelectorAll("#canvas path").length > 0', 'edges')
    page.shot(shots, 'graph')
    before = page.eval('document.querySelector("#canvas > g").getAttribute("transform")')
    middle = page.point('#canvas')
    page.mouse('mouseWheel', middle, deltaX=0, deltaY=-240)
    zoomed = page.eval('document.querySelector("#canvas > g").getAttribute("transform")')
    if zoomed == before:
        page.problems.append('the wheel does not zoom')
    page.mouse('mousePressed', middle, button='left', clickCount=1)
    page.mouse('mouseMoved', [middle[0] + 60, middle[1] + 30], button='left', buttons=1)
    page.mouse('mouseReleased', [middle[0] + 60, middle[1] + 30], button='left', clickCount=1)
    if page.eval('document.querySelector("#canvas > g").getAttribute("transform")') == zoomed:
        page.problems.append('dragging does not move')
    page.click('#zoom-fit')
    # Search, jump, hover: type, shape and line show.
    word = next(n for n in last['nodes'] if n['kind'] == 'apply' and n['line'])
    page.type('#search', word['op'])
    page.check('document.querySelectorAll("#canvas .n.hit").length > 0', 'search')
    page.check('/^[1-9]\\d* found$/.test(document.getElementById("found").textContent)', 'search')
    page.press('Enter')
    page.check('document.querySelectorAll("#canvas .n.chosen.hit").length === 1', 'search jumps')
    chosen = page.eval('+document.querySelector("#canvas .n.chosen").dataset.node')
    page.hover('#canvas .n.chosen rect')
    for part in (last['nodes'][chosen]['type'], last['nodes'][chosen]['line']):
        page.check('!document.getElementById("tip").hidden && document.getElementById("tip")'
                   '.textContent.includes(%s)' % json.dumps(part), 'hover shows ' + part)
        page.check('document.getElementById("node").textContent.includes(%s)' % json.dumps(part),
                   'click shows ' + part)
    page.shot(shots, 'graph_node')
    # Every stage can be drawn.
    for i in range(len(data['graphs'])):
        page.eval('(() => { const s = document.getElementById("stage"); s.value = %d; '
                  's.dispatchEvent(new Event("change")); })()' % i)
        page.check('document.querySelectorAll("#canvas .n").length > 0', 'stage %d' % i)
    page.shot(shots, 'graph_other')

    # A kernel: click it, and each of its views shows the text of the data.
    page.click('button[data-tab=kernels]')
    page.check(shown + ' === "kernels"', 'the kernels tab')
    page.check('document.querySelectorAll("#kernel-list .item").length === %d' % len(data['steps']),
               'kernels')
    step = next(s for s in reversed(data['steps']) if s['kind'] == 'kernel')
    page.click('#kernel-list [data-kernel="%d"]' % step['number'])
    page.check('document.querySelector("#kernel h3").textContent === %s'
               % json.dumps('%d %s' % (step['number'], step['name'])), 'the kernel that was clicked')
    for part in [step['lines'], step['computes'][0]['text']]:
        page.check('document.getElementById("kernel").textContent.includes(%s)' % json.dumps(part),
                   'the kernel shows ' + part)
    if 'us' in step:
        page.check('/ GFLOP\\/s, .* GB\\/s/.test(document.getElementById("kernel").textContent)', 'rates')
    for view, marks in (('nest', ['nest ']), ('schedule', ['kernel ']), ('llvm', ['define ']),
                        ('asm', ['ret'])):
        page.click('#kernel button[data-view=%s]' % view)
        page.check('document.querySelector("#kernel-view pre").textContent === '
                   'JSON.parse(document.getElementById("data").textContent).steps[%d].%s'
                   % (step['number'], view), 'the view ' + view)
        for mark in marks:
            page.check('document.querySelector("#kernel-view pre").textContent.includes(%s)'
                       % json.dumps(mark), 'the view ' + view)
        page.shot(shots, 'kernel_' + view)
    page.click('#kernel button[data-view=nodes]')
    page.check('document.querySelectorAll("#kernel-view tbody tr").length === %d' % len(step['nodes']),
               "the kernel's nodes")
    page.shot(shots, 'kernel_nodes')
    # From a node of a kernel to the graph, and back from the graph to the kernel.
    page.click('#kernel-view tbody tr')
    page.check(shown + ' === "graph"', 'to the graph')
    page.eval('[...document.querySelectorAll("#node a")].pop().click()')
    page.check(shown + ' === "kernels"', 'back to the kernel')

    page.click('button[data-tab=memory]')
    page.check(shown + ' === "memory"', 'the memory tab')
    buffers = data['memory']['buffers']
    page.check('document.querySelectorAll("#memory-picture [data-buffer]").length === %d'
               % len(buffers), 'buffers')
    page.shot(shots, 'memory')
    if buffers:
        largest = max(range(len(buffers)), key=lambda i: buffers[i]['bytes'])
        page.hover('#memory-picture [data-buffer="%d"]' % largest)
        page.check('document.getElementById("tip").textContent.includes(%s)'
                   % json.dumps(buffers[largest]['type']), 'hover shows a buffer')

    page.click('button[data-tab=rewrites]')
    rewrites = data['rewrites']
    page.check('document.querySelectorAll("#rewrite-list .item").length === %d' % len(rewrites),
               'rewrites')
    if len(rewrites) > 1:
        page.click('#rewrite-next')
        for part in ('rule', 'before', 'after', 'line', 'pass'):
            page.check('document.getElementById("rewrite").textContent.includes(%s)'
                       % json.dumps(rewrites[1][part]), 'a rewrite shows its ' + part)
        page.type('#rewrite-search', rewrites[0]['rule'])
        page.check('[...document.querySelectorAll("#rewrite-list .item")].filter(e => !e.hidden)'
                   '.every(e => e.textContent.includes(%s))' % json.dumps(rewrites[0]['rule']),
                   'the filter')
        page.shot(shots, 'rewrites')

    page.dark(True)
    page.check('getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(c => c < 60)',
               'dark mode')
    for tab in ('overview', 'graph', 'kernels', 'memory'):
        page.click('button[data-tab=%s]' % tab)
        page.shot(shots, 'dark_' + tab)


def main():
    chromium, path = sys.argv[1:3]
    shots = sys.argv[3] if len(sys.argv) > 3 else None
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(chromium, folder)
        try:
            page = Page(browser, 'file://' + os.path.abspath(path), problems)
            use(page, shots)
            page.collect()
            # A tab can be linked to.
            linked = Page(browser, 'file://' + os.path.abspath(path) + '#memory', problems)
            linked.check('getComputedStyle(document.getElementById("memory")).display !== "none"',
                         'a link to a tab')
            linked.collect()
        finally:
            browser.close()
    for p in problems:
        print(p)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
