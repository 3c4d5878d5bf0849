"""The grammars of the demo's five text domains, as data for `dem.sample_text`.

A `Kind` is one sort of document (a river's article, a product review). It holds the parts of such a document
in order, and each part says how many of its templates are used. How slots are written is told in
`dem.sample_text`. What a slot may hold is a tuple of values, a range of numbers, or a function that works
the value out from other slots.

A `table` is a vocabulary whose columns belong together: a document takes one row, so that a keyboard is
reviewed for its keys and a soup for its taste. A cell with commas is a small vocabulary of its own.

The blocks below hold one entry a line; a backslash continues a line, and '|' stands for a line break inside
an entry. All names, places, laws and facts are invented.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Part = tuple[int, int, tuple[str, ...]]
Values = tuple | range | Callable
Table = tuple[tuple[str, ...], tuple[tuple[tuple[str, ...], ...], ...]]


@dataclass(frozen=True)
class Kind:
    """One sort of document: its parts in order, and the vocabulary only it uses."""

    parts: tuple[Part, ...]
    tables: tuple[Table, ...] = ()
    slots: dict[str, Values] = field(default_factory=dict)
    joiner: str = " "


@dataclass(frozen=True)
class Grammar:
    """A domain: the vocabulary its documents share, and the kinds of documents it has."""

    slots: dict[str, Values]
    kinds: tuple[Kind, ...]


def words(text: str) -> tuple[str, ...]:
    """The words of a block; an underscore stands for a space inside one entry."""
    return tuple(word.replace("_", " ") for word in text.split())


def lines(text: str) -> tuple[str, ...]:
    """The lines of a block, runs of spaces made one, '|' made a line break."""
    return tuple(" ".join(line.split()).replace("|", "\n") for line in text.splitlines() if line.strip())


def table(names: str, text: str) -> Table:
    """Rows of cells parted by ';', each cell a tuple of the values parted by ', '."""
    columns = tuple(names.split())
    rows = tuple(tuple(tuple(cell.strip().split(", ")) for cell in line.split(";")) for line in lines(text))
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row of the table {names!r} does not have {len(columns)} cells")
    return columns, rows


def some(low: int, high: int, text: str) -> Part:
    """A part that uses between low and high of its templates, in random order."""
    return low, high, lines(text)


def one(text: str) -> Part:
    """A part that uses exactly one of its templates."""
    return some(1, 1, text)


def maybe(text: str) -> Part:
    """A part that uses one of its templates or none."""
    return some(0, 1, text)


def total(*names: str) -> Callable:
    """The slot that is the sum of the other slots."""
    return lambda value: sum(value(name) for name in names)


def product(*names: str) -> Callable:
    """The slot that is the product of two other slots."""
    return lambda value: value(names[0]) * value(names[1])


def difference(*names: str) -> Callable:
    """The slot that is the first slot less the second."""
    return lambda value: value(names[0]) - value(names[1])


# ---------------------------------------------------------------------------------------------------------
# main_data: articles of an encyclopedia

MAIN_SLOTS = {
    "first": words("가 나 다 라 마 바 사 아 자 차 하 노 도 로 모 보 소 오 초 호 누 두 무 부 수 우 주 후 미 "
                   "비 시 이 지 채 해 새 여 려 휘 혜 은 연"),
    "second": words("람 온 울 솔 별 빛 름 루 래 담 든 롬 벌 찬 결 란 림 율 인 운 현 봉"),
    "stem": ("{~first}{~second}",),
    "river": words("{~stem}강 {~stem}천"),
    "mountain": words("{~stem}산 {~stem}봉 {~stem}재"),
    "town": words("{~stem}군 {~stem}시 {~stem}현"),
    "village": words("{~stem}리 {~stem}골 {~stem}마을"),
    "bay": words("{~stem}만 {~stem}해협 {~stem}포구"),
    "island": words("{~stem}섬 {~stem}도"),
    "surname": words("강 고 구 남 노 도 류 문 민 반 배 서 석 설 송 안 양 엄 연 오 우 원 유 은 임 장 전 정 "
                     "조 주 진 차 채 천 최 편 하 한 함 허 현 홍 황"),
    "given": words("가온 다솜 도담 라온 마루 미르 새힘 소담 여울 윤슬 이든 하람 해든 느루 다온 도래 모아 "
                   "보늬 산들 새길 새날 솔찬 아토 알찬 우솔 찬솔 큰솔 해솔 혜윰 흰샘 든솔 너울 나린 늘봄 "
                   "터울 벼리 단비 노을"),
    "person": ("{~surname}{~given}",),
    "crop": words("보리 메밀 콩 수수 감자 무 배추 마늘 고추 들깨 참깨 사과 포도 복숭아 감 대추 밤 인삼 "
                  "목화 모시"),
    "goods": words("소금 목재 곡식 숯 도자기 건어물 한지 삼베 옹기 기와 약재 비단 꿀 참기름"),
    "tree": words("소나무 느티나무 은행나무 버드나무 상수리나무 전나무 자작나무 오리나무 동백나무 팽나무"),
    "waterbird": words("왜가리 백로 물총새 원앙 두루미 고니 청둥오리 논병아리 물떼새 가마우지"),
    "rock": words("화강암 편마암 석회암 현무암 사암 역암 점판암 응회암"),
    "landform": words("충적_평야 삼각주 습지 범람원 모래톱 자갈밭 갈대밭 분지"),
    "direction": words("동쪽 서쪽 남쪽 북쪽 남동쪽 북서쪽 북동쪽 남서쪽"),
    "season": words("봄 여름 가을 겨울"),
    "century": range(13, 20),
    "source": words("옛_지리지 향토지 여행기 답사_보고서 고문서 비문 옛_지도 문집 일기"),
    "year": range(1871, 1961),
    "gap": range(4, 45),
    "later": total("year", "gap"),
    "pause": range(3, 20),
    "afterwards": total("later", "pause"),
    "month": range(1, 13),
    "adjective": words("푸른 먼 고요한 늦은 깊은 낮은 붉은 오래된 흰 느린 작은 젖은 빈 둥근 마지막 첫"),
    "noun": words("언덕 강 노래 새벽 항구 등불 숲 편지 바람 우물 길 겨울 씨앗 창문 골짜기 별 그림자 나루 "
                  "들판 배"),
    "book": ("『{~adjective} {~noun}』", "『{~adjective} {~noun}의 {~noun}』"),
}

MAIN_RIVER = Kind(
    slots={
        "length": range(24, 420), "width": range(6, 31), "basin": product("length", "width"),
        "branch": range(4, 38), "wet": range(6, 10), "trail": range(3, 24),
    },
    parts=(
        one("""
            {river:은/는} {mountain}에서 발원하여 {bay:으로/로} 흘러드는 하천이다.
            {river:은/는} {town:과/와} {town2:을/를} 차례로 지나 {bay}에 이르는 강이다.
            {river:은/는} {mountain} {direction} 골짜기에서 시작되어 {town:을/를} 적시는 하천이다.
            {town} 일대를 흐르는 {river:은/는} {mountain}에 내린 빗물이 모여 이루어진 강이다.
        """),
        one("""
            길이는 {length}km이고 유역 면적은 약 {basin}㎢이다.
            본류의 길이는 {length}km이며 크고 작은 지류 {branch}개가 {river:으로/로} 흘러든다.
            전체 길이 {length}km 가운데 {town}에 속하는 구간이 가장 길다.
        """),
        some(5, 7, """
            {river} 상류에는 {rock} 절벽이 이어지고 하류에는 넓은 {landform:이/가} 펼쳐진다.
            비가 여름에 몰려 내리므로 {river}의 수위는 {wet}월에 가장 높다.
            유역의 주민들은 {crop:과/와} {crop2:을/를} 주로 재배한다.
            {century}세기까지 {river:은/는} {goods:과/와} {goods2:을/를} 나르는 뱃길로 쓰였다.
            강가의 {tree} 숲은 {waterbird:이/가} 알을 낳는 곳으로 알려져 있다.
            {year}년의 큰물을 겪은 뒤 {town} 주민들은 {river:을/를} 따라 제방을 쌓았다.
            {source}에는 {river}의 옛 이름이 '{~stem}내'로 적혀 있다.
            겨울이면 {waterbird:과/와} {waterbird2:이/가} {river} 하구로 날아든다.
            {mountain}의 눈이 녹는 봄에는 {river}의 물살이 눈에 띄게 빨라진다.
            강바닥에는 {rock:이/가} 부서져 생긴 자갈이 두껍게 쌓여 있다.
        """),
        some(1, 2, """
            {later}년부터 {river:을/를} 따라 {trail}km 길이의 산책로가 놓였다.
            오늘날 {river:은/는} {town}의 식수원으로 관리된다.
            {afterwards}년에 {town:은/는} {river} 중류를 생태 보전 구역으로 지정하였다.
            {town} 사람들은 해마다 {season}에 {river}에서 물고기를 놓아주는 행사를 연다.
        """),
    ),
)

MAIN_TOWN = Kind(
    slots={
        "people": range(8200, 236000, 100), "villages": range(9, 140), "rain": range(780, 1690, 10),
        "warm": range(21, 28), "cold": range(1, 9), "portion": range(21, 68),
    },
    parts=(
        one("""
            {town:은/는} {mountain} {direction} 기슭에 자리한 행정 구역이다.
            {town:은/는} {river} 하류의 {landform}에 자리 잡은 고을에서 비롯하였다.
            {bay}에 접한 {town:은/는} {goods} 거래로 성장한 항구 고장이다.
            {town:은/는} {mountain:과/와} {river} 사이에 놓인 내륙의 고장이다.
        """),
        one("""
            인구는 약 {people}명이며 {villages}개의 마을로 이루어져 있다.
            {people}명가량이 거주하고, 그 가운데 {portion}%가 {village} 주변에 모여 산다.
        """),
        some(6, 8, """
            {town}의 북쪽에는 {mountain:이/가} 솟아 있고 남쪽으로는 {river:이/가} 흐른다.
            연평균 강수량은 {rain}mm로, 비는 대부분 여름에 내린다.
            한여름의 평균 기온은 {warm}℃이고 한겨울의 평균 기온은 영하 {cold}℃이다.
            특산물로는 {crop}, {crop2:과/와} {goods:이/가} 꼽힌다.
            {source}에 따르면 {town}의 옛 이름은 {~stem}골이었다.
            {year}년에 {town2:과/와} 합쳐졌다가 {later}년에 다시 나뉘었다.
            {village}에는 {century}세기에 심은 것으로 전하는 {tree:이/가} 남아 있다.
            장날은 {village}에서 닷새마다 열리며, {crop:과/와} {goods:을/를} 파는 상인이 모인다.
            {town}의 땅은 대부분 {rock:으로/로} 이루어져 있어 물이 잘 빠진다.
            {person:은/는} {town} {village} 출신의 인물로, 마을에 학교를 세웠다.
            {afterwards}년에 {town:과/와} {town2:을/를} 잇는 철도가 놓이면서 {goods} 산업이 발달하였다.
        """),
        one("""
            {town:을/를} 상징하는 나무는 {tree:이다/다}.
            {town:을/를} 상징하는 새는 {waterbird:이다/다}.
            {town}에서는 해마다 {season}에 {crop} 축제가 열린다.
            현재 {town}의 청사는 {village}에 있다.
        """),
    ),
)

MAIN_PERSON = Kind(
    tables=(table("job field genre deed", """
        식물학자; 식물 분류학; 식물도감, 표본 목록; 고산 식물의 분포를 조사한 일, 양치식물의 이름을 정리한 일
        천문학자; 관측 천문학; 별자리 지도, 관측 일지; 변광성의 주기를 잰 일, 혜성의 궤도를 계산한 일
        시인; 서정시; 시집, 동시집; 방언을 시어로 살린 일, 짧은 정형시를 되살린 일
        작곡가; 실내악; 가곡집, 악보집; 농요의 가락을 악보로 옮긴 일, 현악 사중주를 보급한 일
        도예가; 백자 공예; 작품집, 유약 연구서; 끊어진 유약 제조법을 되살린 일, 전통 가마를 복원한 일
        건축가; 목조 건축; 도면집, 건축론; 못을 쓰지 않는 짜임을 기록한 일, 학교 건물의 표준 도면을 만든 일
        지리학자; 지형학; 지리지, 답사기; 해안선의 변화를 측량한 일, 동굴의 지도를 그린 일
        언어학자; 방언학; 방언 사전, 문법서; 섬 지역의 방언을 채록한 일, 모음의 변화를 밝힌 일
        화가; 풍경화; 화집, 화첩; 안개 낀 산의 표현법을 연 일, 천연 물감을 연구한 일
        기상학자; 기후학; 기상 연보, 관측 지침서; 장마의 시작을 예측한 일, 산악 관측소를 세운 일
        교육자; 아동 교육; 교과서, 수필집; 야학을 연 일, 점자 교재를 만든 일
        의학자; 예방 의학; 의학서, 강의록; 우물의 소독법을 알린 일, 산간 지역에 진료소를 세운 일
    """),),
    slots={
        "birth": range(1852, 1911), "span": range(46, 85), "death": total("birth", "span"),
        "life": ("{person}({birth}~{death})",), "young": range(15, 25), "moved": total("birth", "young"),
        "prime": range(27, 44), "issued": total("birth", "prime"),
        "after": range(5, 27), "opened": total("death", "after"),
        "home": words("농부 어부 목수 약재상 대장장이 훈장 옹기장이 뱃사공 한지_장인 상인"),
        "order": words("맏이 둘째 막내 셋째"),
        "hobby": words("별_보기 그림_그리기 글짓기 악기_연주 산길_걷기 돌_모으기 옛이야기_듣기 물고기_관찰"),
        "letters": range(12, 190),
        "motto": lines("""
            오래 본 것만 말한다
            서두르지 않으면 늦지 않는다
            기록은 기억보다 정직하다
            모르는 것을 모른다고 적는다
            손이 먼저 배우고 머리가 나중에 안다
            작은 것을 얕보지 말아야 한다
            고향의 흙이 가장 큰 스승이다
        """),
        "late": words("후학_양성 자료_정리 회고록_집필 제자_교육 고향의_기록_사업"),
    },
    parts=(
        one("""
            {life:은/는} {town} 출신의 {job:이다/다}.
            {life:은/는} {field} 분야에서 활동한 {job:이다/다}.
            {life:은/는} {genre} {book:으로/로} 이름을 알린 {job:이다/다}.
        """),
        one("""
            {birth}년 {town} {village}에서 {home} 집안의 {order:으로/로} 태어났다.
            {town}의 {home} 집안에서 자랐으며 어려서부터 {hobby:을/를} 즐겼다.
        """),
        some(4, 6, """
            {moved}년 {town2:으로/로} 옮겨 {person2}에게 {field:을/를} 배웠다.
            {young}세 되던 해에 {person2:을/를} 만나 {field}의 길로 들어섰다.
            {issued}년에 펴낸 {genre} {book:은/는} {person}의 대표작으로 꼽힌다.
            {person}의 가장 큰 업적은 {deed}이다.
            {person:은/는} {deed:으로/로} {field}에 새로운 흐름을 열었다고 평가된다.
            {person2:과/와} 주고받은 편지 {letters}통은 {source:과/와} 함께 보존되어 있다.
            {book}의 머리말에서 {person:은/는} '{motto}'라는 말을 남겼다.
            {prime}세에 {mountain} 아래로 거처를 옮긴 뒤에도 {field:을/를} 놓지 않았다.
            당시의 {source:은/는} {person:을/를} 말수가 적고 꼼꼼한 사람으로 그린다.
        """),
        one("""
            말년에는 {town:으로/로} 돌아와 {late}에 힘썼고, {death}년 {season}에 세상을 떠났다.
            {death}년 {season}, {town2}에서 {span}세를 일기로 생을 마쳤다.
        """),
        maybe("""
            {opened}년 {town}에는 {person} 기념관이 문을 열었다.
            {opened}년에 {book}의 원고가 {town} 박물관에 기증되었다.
            {field:을/를} 소개하는 글에서는 지금도 {person}의 이름이 자주 언급된다.
        """),
    ),
)
MAIN_PLANT = Kind(
    tables=(table("family base fruit", """
        백합과; 나리, 원추리, 무릇; 삭과
        국화과; 쑥부쟁이, 구절초, 엉겅퀴, 솜다리; 수과
        미나리아재비과; 바람꽃, 으아리, 매발톱; 골돌과, 수과
        앵초과; 앵초, 까치수염; 삭과
        붓꽃과; 붓꽃, 범부채; 삭과
        제비꽃과; 제비꽃; 삭과
        난초과; 난초, 새우난; 삭과
        콩과; 비수리, 갈퀴, 자운영; 협과
        초롱꽃과; 초롱꽃, 잔대, 도라지; 삭과
        석죽과; 패랭이, 동자꽃, 별꽃; 삭과
        용담과; 용담, 쓴풀; 삭과
        돌나물과; 돌나물, 꿩의비름; 골돌과
    """),),
    slots={
        "prefix": words("흰털 긴잎 붉은줄 톱니 두메 애기 바위 그늘 갯 산골 은빛 큰 가는잎 점박이 모래 눈 "
                        "쌍둥이 {stem}"),
        "plant": ("{prefix}{base}",),
        "lifetime": words("여러해살이풀 두해살이풀 한해살이풀"),
        "habitat": words("높은_산의_바위틈 물기가_많은_골짜기 볕이_잘_드는_풀밭 바닷가_모래땅 숲속_그늘 "
                         "맑은_냇가 석회암_지대 산불이_지나간_비탈"),
        "shape": words("달걀 심장 바늘 손바닥 긴_타원 콩팥 창끝 부채"),
        "petalcolour": words("흰색 연분홍색 자주색 노란색 하늘색 보라색 주황색 연두색"),
        "tall": range(9, 118), "petals": range(4, 9), "bloom": range(3, 10), "wait": range(1, 3),
        "ripe": total("bloom", "wait"),
        "parting": words("마주나고 어긋나고 돌려나고 뿌리에서_모여나고"),
        "insect": words("꿀벌 호박벌 나비 꽃등에 나방 풍뎅이"),
        "job": words("식물학자 교사 약초꾼 여행가 산림_감시원"),
        "use": lines("""
            어린순은 데쳐서 나물로 먹는다.
            말린 뿌리는 차로 우려 마신다.
            꽃은 천을 물들이는 데 쓰인다.
            잎에서 짠 즙은 벌레 물린 데에 발랐다고 한다.
            꽃이 오래가므로 뜰에 심어 가꾸기도 한다.
        """),
    },
    parts=(
        one("""
            {plant:은/는} {family}에 속하는 {lifetime}이다.
            {plant:은/는} {mountain} 일대에서 처음 보고된 {family}의 {lifetime}이다.
            {habitat}에서 자라는 {plant:은/는} {family}의 {lifetime}이다.
        """),
        some(6, 8, """
            주로 {habitat}에서 무리를 지어 자란다.
            높이는 {tall}cm 안팎이고 줄기는 곧게 선다.
            잎은 {shape} 모양으로 {parting}, 가장자리에 잔톱니가 있다.
            꽃은 {bloom}월에 피며 빛깔은 {petalcolour}이다.
            {petalcolour} 꽃잎은 {petals}장이고 밑부분이 조금 겹친다.
            열매는 {fruit:으로/로} {ripe}월에 익는다.
            {plant}의 씨앗은 바람이나 개미에 의해 퍼진다.
            꽃가루는 주로 {insect:이/가} 옮긴다.
            {use}
            {source}에는 {plant:이/가} '{~stem}풀'이라는 이름으로 실려 있다.
            {base:과/와} 비슷하지만 {plant:은/는} 잎 뒷면에 털이 많아 쉽게 구별된다.
        """),
        some(1, 2, """
            {year}년 {job} {person:이/가} {mountain}에서 채집한 표본이 가장 오래된 기록이다.
            {town:은/는} {later}년부터 {plant}의 자생지를 보호하고 있다.
            개체 수가 줄어 {town}에서는 {plant}의 씨앗을 따로 모아 보관한다.
            최근에는 {island}에서도 {plant}의 새로운 군락이 발견되었다.
        """),
    ),
)
MAIN_ANIMAL = Kind(
    tables=(table("class base bodypart food home size voice years", """
        새; 딱새, 도요, 올빼미, 지빠귀, 할미새; 부리, 꽁지깃, 날개깃; 작은 곤충, 나무 열매, 풀씨; 숲 \
            가장자리, 강가 갈대밭, 오래된 나무 구멍; 12, 17, 23, 31; 동틀 무렵 맑은 소리로 운다; 4, 7, 11
        민물고기; 납자루, 돌고기, 종개, 피라미; 지느러미, 비늘, 옆줄; 물벌레, 돌에 붙은 조류; 여울의 자갈 \
            바닥, 물풀이 많은 웅덩이; 6, 9, 14, 21; 놀라면 돌 밑으로 숨는다; 3, 5, 8
        곤충; 하늘소, 부전나비, 잠자리, 풍뎅이; 더듬이, 앞날개, 다리 마디; 나뭇진, 꽃꿀, 진딧물; 참나무 숲, \
            양지바른 풀밭; 2, 3, 4; 위험을 느끼면 땅으로 떨어져 움직이지 않는다; 1, 2
        양서류; 도롱뇽, 산개구리, 두꺼비, 맹꽁이; 등 무늬, 물갈퀴, 꼬리; 지렁이, 작은 곤충; 산속 웅덩이, \
            논둑의 풀숲; 5, 7, 11; 비가 온 다음 날 밤에 활발히 움직인다; 4, 6, 9
        포유류; 족제비, 다람쥐, 박쥐, 들쥐; 꼬리털, 앞발, 귀; 도토리, 나무 열매, 곤충; 바위 굴, 쓰러진 나무 \
            밑; 9, 16, 24, 33; 해가 진 뒤에 먹이를 찾아 나선다; 3, 5, 8
        파충류; 도마뱀, 무자치, 장지뱀; 등 비늘, 꼬리, 혀; 곤충, 작은 개구리; 볕이 드는 돌담, 마른 풀밭; 14, \
            22, 47; 아침이면 볕을 쬐며 몸을 데운다; 4, 6, 9
    """),),
    slots={
        "mark": words("검은등 붉은배 점박이 긴꼬리 은빛 노랑띠 줄무늬 흰눈썹 큰 좀 푸른등 가시 {stem} 두메"),
        "animal": ("{mark}{base}",),
        "season": words("봄 여름 가을"), "breed": range(3, 8), "years": range(2, 14),
        "count": range(40, 980),
        "colour": words("갈색 잿빛 검은색 푸른빛 누런색 흰색 붉은빛 올리브색"),
    },
    parts=(
        one("""
            {animal:은/는} {home}에 사는 {class:이다/다}.
            {animal:은/는} {mountain:과/와} {river} 일대에 분포하는 {class:이다/다}.
            {town}에서 드물게 관찰되는 {animal:은/는} {class}의 한 종이다.
        """),
        some(6, 8, """
            몸길이는 약 {size}cm이며 {bodypart}에 {colour} 무늬가 있다.
            먹이는 주로 {food:이다/다}.
            {season}에는 {food:을/를} 찾아 {home}까지 내려온다.
            짝짓기는 {breed}월 무렵에 이루어지고 수명은 {years}년쯤으로 알려져 있다.
            {animal:은/는} {voice}.
            수컷은 암컷보다 {bodypart}의 빛깔이 짙다.
            몸빛은 전체적으로 {colour}이며 배 쪽은 조금 옅다.
            천적을 피하기 위해 {home}에 숨어 지내는 때가 많다.
            {town} 사람들은 {animal:이/가} 보이면 {season:이/가} 깊어졌다고 여겼다.
            {source}에는 {animal:을/를} 그린 그림과 짧은 설명이 실려 있다.
            비슷한 종과는 {bodypart}의 생김새로 구별한다.
        """),
        some(1, 2, """
            {year}년 {person:이/가} {town}에서 처음 기록하였다.
            {later}년 조사에서는 {town}에 {animal} {count}마리가 사는 것으로 나타났다.
            서식지가 줄어들어 {town:은/는} {animal:을/를} 보호종으로 지정하였다.
            {river}의 수질이 나아지면서 {animal}의 수도 차츰 늘고 있다.
        """),
    ),
)
MAIN_EVENT = Kind(
    tables=(table("act sort cause step result people", """
        운하 공사; 토목 사업; 강물이 얕아 배가 드나들지 못한 것; 물길을 파고 갑문을 세우는 일; 물자 수송 \
            기간이 절반으로 줄었다; 석공
        간척 사업; 토목 사업; 농사지을 땅이 모자란 것; 갯벌에 둑을 쌓고 소금기를 빼는 일; 넓은 논이 새로 \
            생겼다; 농민
        철도 개통; 교통 사업; 산길이 험해 왕래가 어려웠던 것; 굴을 뚫고 다리를 놓는 일; 두 지역의 장터가 \
            하나로 이어졌다; 기술자
        등대 건립; 해운 사업; 암초에 배가 부딪히는 일이 잦았던 것; 돌을 나르고 등명기를 들여오는 일; 밤에도 \
            배가 드나들게 되었다; 뱃사람
        식목 운동; 사회 운동; 산이 헐벗어 큰물이 잦았던 것; 묘목을 기르고 비탈에 옮겨 심는 일; 산사태가 크게 \
            줄었다; 학생
        문맹 퇴치 운동; 사회 운동; 글을 모르는 주민이 많았던 것; 교재를 만들고 야학을 여는 일; 주민 대부분이 \
            글을 읽게 되었다; 교사
        박람회; 국제 행사; 지역 산업을 널리 알리려 한 것; 전시관을 짓고 출품작을 모으는 일; 여러 고장의 \
            기술이 교류되었다; 공예가
        토지 측량; 행정 사업; 논밭의 경계를 두고 다툼이 잦았던 것; 기준점을 세우고 지도를 그리는 일; 정밀한 \
            지도가 처음 만들어졌다; 측량사
        동굴 탐사; 학술 조사; 땅속 물길을 알지 못했던 것; 좁은 통로를 재고 표본을 모으는 일; 미지의 지하 \
            호수가 발견되었다; 대원
        성벽 복원; 문화재 사업; 옛 성벽이 무너질 위험에 놓인 것; 흩어진 돌을 찾아 다시 쌓는 일; 성벽 전체의 \
            모습이 드러났다; 석공
    """),),
    slots={
        "event": ("{stem} {act}",), "lasting": range(2, 12), "finish": total("year", "lasting"),
        "crowd": range(300, 9800, 50), "money": range(12, 96),
        "supply": words("목재 석재 양식 연장 밧줄 천막 종이 못 등유"),
        "role": words("책임자 감독관 기록관 후원자 총무"),
    },
    parts=(
        one("""
            {event:은/는} {year}년부터 {finish}년까지 {town} 일대에서 이루어진 {sort:이다/다}.
            {event:은/는} {year}년 {town}에서 시작된 {sort:으로/로}, {lasting}년 뒤에 마무리되었다.
            {year}년에 시작된 {event:은/는} {town}의 모습을 바꾼 {sort:으로/로} 평가된다.
        """),
        one("""
            배경으로는 {cause:이/가} 꼽힌다.
            직접적인 계기는 {cause:이었다/였다}.
            {source:은/는} {cause:을/를} 사업의 까닭으로 들고 있다.
        """),
        some(5, 7, """
            {role:은/는} {person:이었으며/였으며} {people} {crowd}여 명이 참여하였다.
            {people}들은 {village}에 머물며 {step:을/를} 맡았다.
            가장 어려운 대목은 {step:이었다고/였다고} 한다.
            처음에는 {village} 주민들의 반대가 있었으나 {person}의 설득으로 뜻이 모였다.
            {month2}월에는 큰비가 내려 {event:이/가} 한때 중단되었다.
            필요한 {supply:은/는} {town2}에서 실어 왔다.
            비용의 {money}%는 {town:이/가} 대고 나머지는 주민들이 나누어 냈다.
            {person:은/는} 날마다 진행 상황을 적어 두었고, 이 기록이 {source}에 남아 있다.
            {finish}년 {month}월 {village}에서 마무리를 기념하는 잔치가 열렸다.
        """),
        one("""
            그 결과 {result}.
            {event:이/가} 끝난 뒤 {result}.
        """),
        maybe("""
            {village}에는 {event:을/를} 기리는 비석이 서 있다.
            훗날 {person2:은/는} {event:을/를} 다룬 책 {book:을/를} 펴냈다.
            오늘날 {town}의 학교에서는 {event:을/를} 지역 역사로 가르친다.
        """),
    ),
)

MAIN_WORK = Kind(
    tables=(table("genre writer form reader", """
        장편 소설; 소설가; 3부로 나뉜 이야기, 편지 형식의 이야기, 한 해의 일기; 독자
        동화; 동화 작가; 다섯 편의 짧은 이야기, 밤마다 들려주는 이야기; 어린이
        희곡; 극작가; 3막의 무대, 한 방에서 벌어지는 대화; 관객
        서사시; 시인; 열두 노래, 두 사람이 주고받는 노래; 낭송가
        단편 소설; 소설가; 하룻밤 사이의 이야기, 노인의 회상; 독자
    """),),
    slots={
        "hero": words("등대지기 우편배달부 옹기장이 나룻배_사공 떠돌이_악사 약초꾼 시계_수리공 염전_일꾼 "
                      "제본공 철도원"),
        "partner": words("이웃집_아이 늙은_스승 말_없는_동생 낯선_여행자 옛_친구 길_잃은_강아지 눈먼_화가"),
        "want": words("잃어버린_악보 한_번도_보지_못한_바다 돌아오지_않는_편지의_주인 오래된_우물의_비밀 "
                      "사라진_마을의_이름"),
        "theme": words("기다림 화해 고향의_상실 우정 침묵 용서 노동의_보람 세대의_차이 자연에_대한_경외"),
        "style": words("담담한_문체 짧고_끊어지는_문장 방언이_섞인_대화 되풀이되는_후렴 섬세한_풍경_묘사"),
        "chapters": range(5, 34), "tongues": range(3, 19),
    },
    parts=(
        one("""
            {book:은/는} {writer} {person:이/가} {year}년에 발표한 {genre:이다/다}.
            {year}년에 나온 {book:은/는} {person}의 첫 {genre:이다/다}.
            {book:은/는} {town:을/를} 배경으로 한 {person}의 {genre:이다/다}.
        """),
        one("""
            작품은 {form:으로/로} 짜여 있다.
            모두 {chapters}장으로 되어 있으며 {form}의 틀을 따른다.
        """),
        some(5, 7, """
            주인공인 {hero:은/는} {season} 어느 날 {partner:을/를} 만난다.
            {hero:은/는} {want:을/를} 찾아 {village:을/를} 떠난다.
            {partner:은/는} {hero}에게 {town:으로/로} 가는 길을 일러 준다.
            이야기의 한가운데에는 {theme:이라는/라는} 주제가 놓여 있다.
            {person:은/는} {village}에서 보낸 어린 시절의 기억을 {book}에 담았다고 밝혔다.
            {style:이/가} 이 작품의 특징으로 꼽힌다.
            끝 대목에서 {hero:은/는} {want:이/가} 처음부터 곁에 있었음을 깨닫는다.
            {river:은/는} 작품 속에서 시간의 흐름을 나타내는 상징으로 쓰인다.
            평론가 {person2:은/는} {book:을/를} {theme:을/를} 가장 깊이 다룬 {genre:이라고/라고} 평하였다.
            {partner:과/와} {hero}의 대화는 지금도 {reader}들이 자주 인용한다.
        """),
        some(1, 2, """
            {later}년에는 {book:을/를} 바탕으로 한 연극이 {town}에서 공연되었다.
            지금까지 {tongues}개 언어로 옮겨졌다.
            {afterwards}년에 {person}의 친필 원고가 {village}에서 발견되었다.
            {town}에는 {book}의 {hero:을/를} 본뜬 동상이 있다.
        """),
    ),
)

MAIN_BUILDING = Kind(
    tables=(table("base purpose piece", """
        등대; 밤에 뱃길을 밝히기; 등롱, 나선 계단, 외벽
        누각; 손님을 맞아 잔치를 열기; 기둥, 난간, 지붕
        서원; 학생을 가르치기; 강당, 담장, 장서각
        돌다리; 장터로 가는 길을 잇기; 홍예, 난간석, 교각
        천문대; 별의 움직임을 살피기; 관측대, 돌계단, 둥근 지붕
        도서관; 책을 모아 보관하기; 열람실, 서고, 창틀
        종탑; 시각을 알리기; 종루, 버팀벽, 나무 계단
        방앗간; 곡식을 찧기; 물레바퀴, 들보, 지붕
        역사; 철도 승객을 맞기; 대합실, 시계탑, 승강장
        곡물 창고; 흉년에 대비해 곡식을 쌓아 두기; 들보, 환기창, 주춧돌
    """),),
    slots={
        "building": ("{stem} {base}",), "high": range(4, 48), "broad": range(6, 70),
        "lasting": range(2, 10),
        "stuff": words("화강암 소나무 붉은_벽돌 현무암 흙벽돌 느티나무 석회암 전나무"),
        "look": words("단정하고_소박하다는 웅장하다는 균형이_잘_잡혀_있다는 곡선이_부드럽다는 "
                      "빛이_고르게_든다는"),
        "harm": words("벼락 큰불 홍수 지진 태풍 폭설"),
    },
    parts=(
        one("""
            {building:은/는} {town} {village}에 있는 건축물이다.
            {building:은/는} {year}년에 {purpose} 위해 지은 건축물이다.
            {mountain} 기슭에 선 {building:은/는} {town}의 대표적인 건축물이다.
        """),
        some(6, 8, """
            설계는 {person:이/가} 맡았고 공사에는 {lasting}년이 걸렸다.
            높이는 {high}m, 너비는 {broad}m이다.
            주된 재료는 {stuff}이며 일부에 {stuff2:이/가} 쓰였다.
            {building}의 {piece:은/는} {century}세기의 양식을 따른다.
            {piece}에는 지은이의 이름과 공사 날짜가 새겨져 있다.
            원래는 {purpose} 위한 곳이었으나 지금은 전시 공간으로 쓰인다.
            전체적인 인상은 {look} 평가를 받는다.
            {later}년에는 {harm:으로/로} {piece:이/가} 크게 상했다가 이듬해 복구되었다.
            {source:은/는} {building:을/를} 고을에서 가장 튼튼한 집이라고 적었다.
            {stuff:은/는} {mountain}에서 {river:을/를} 따라 옮겨 왔다고 전한다.
            {season}이면 {building} 너머로 {mountain:이/가} 한눈에 들어온다.
        """),
        some(1, 2, """
            {town:은/는} {afterwards}년에 {building:을/를} 지정 문화재로 등록하였다.
            {building} 앞마당에는 {tree} 두 그루가 서 있다.
            해마다 {month}월에 {building:을/를} 일반에 공개한다.
            {piece:을/를} 본뜬 모형이 {town2} 박물관에 전시되어 있다.
        """),
    ),
)
MAIN_DISH = Kind(
    tables=(table("base main method taste", """
        전병; 메밀가루, 수수가루; 얇게 부쳐 소를 넣고 만다; 구수하고 담백하다
        국수; 메밀가루, 칡가루; 반죽을 눌러 뽑아 장국에 만다; 시원하고 깔끔하다
        식해; 가자미, 명태; 소금에 절여 좁쌀과 함께 삭힌다; 새콤하고 깊다
        떡; 찹쌀, 멥쌀; 가루를 쪄서 떡메로 친다; 쫄깃하고 달다
        장아찌; 무, 마늘종; 간장에 담가 여러 달 묵힌다; 짭짤하고 아삭하다
        엿; 조청, 호박; 오래 고아 늘이며 식힌다; 달고 부드럽다
        묵; 도토리, 녹두; 앙금을 끓여 굳힌다; 쌉쌀하고 매끈하다
        죽; 잣, 팥; 갈아서 약한 불에 오래 쑨다; 고소하고 순하다
    """),),
    slots={
        "dish": ("{stem}{base}",), "hours": range(2, 30),
        "day": words("설날 한가위 동짓날 단오 모내기_날 혼례 첫눈_오는_날 대보름"),
        "side": words("들기름 산초 깨소금 쪽파 생강 잣 미나리 다시마"),
        "vessel": words("옹기 가마솥 나무_함지 대나무_채반 놋그릇 돌솥"),
    },
    parts=(
        one("""
            {dish:은/는} {town}에서 전해 내려오는 향토 음식이다.
            {dish:은/는} {main:으로/로} 만드는 {town} 지방의 음식이다.
            {town:과/와} {town2}에서 {day}에 먹던 음식으로 {dish:이/가} 있다.
        """),
        some(5, 8, """
            주재료는 {main}이며 {side:을/를} 곁들인다.
            {main:을/를} 손질한 뒤 {method}.
            맛은 {taste}.
            {day}에 온 마을이 모여 {dish:을/를} 만들어 나누어 먹었다.
            조리에는 {vessel:을/를} 쓰며 보통 {hours}시간이 걸린다.
            {source}에 {dish:을/를} 만드는 법이 자세히 적혀 있다.
            {village}에서는 {side} 대신 {side2:을/를} 넣기도 한다.
            {mountain}의 찬 샘물을 써야 제맛이 난다고 전한다.
            {century}세기에는 {goods:과/와} 맞바꿀 만큼 귀한 음식이었다.
            {dish:이라는/라는} 이름은 {village}의 옛 이름에서 왔다.
        """),
        some(1, 2, """
            {year}년 무렵 {person:이/가} {town} 장터에서 팔기 시작하면서 널리 알려졌다.
            {later}년부터 {town}에서는 {dish} 축제를 연다.
            요즘은 {main}의 수확이 줄어 {dish:을/를} 만드는 집이 많지 않다.
            {person}의 집안은 {dish}의 조리법을 대대로 지켜 오고 있다.
        """),
    ),
)

MAIN_SKY = Kind(
    tables=(table("base makeup path", """
        소행성; 규산염 암석, 금속 성분; 화성과 목성 사이의 궤도를 돈다, 지구 궤도를 비스듬히 가로지른다
        혜성; 얼음과 먼지, 얼어붙은 기체; 길쭉한 타원 궤도를 돈다, 포물선에 가까운 궤도를 그린다
        왜소 행성; 얼음과 암석, 메테인 얼음; 태양에서 아주 먼 궤도를 돈다, 이웃 행성보다 기울어진 궤도를 돈다
    """),),
    slots={
        "sky": ("{base} {stem}", "{base} {stem} {serial}호"), "serial": range(2, 90),
        "km": range(3, 940), "turn": range(4, 71), "found": range(1921, 2016), "period": range(3, 260),
        "glow": words("붉은빛 잿빛 푸른빛 누런빛 거무스름한_빛"),
        "ground": words("얼음_골짜기 커다란_충돌구 길게_뻗은_균열 먼지_벌판 밝은_반점 낮은_언덕"),
        "tool": words("반사_망원경 굴절_망원경 전파_망원경 적외선_관측기 사진_건판"),
    },
    parts=(
        one("""
            {sky:은/는} {found}년 {person:이/가} {mountain} 천문대에서 발견한 천체로, 지름은 약 {km}km이다.
            {sky:은/는} 지름이 약 {km}km인 천체로, {found}년에 발견되었다.
            {found}년에 처음 관측된 {sky:은/는} {glow:을/를} 띠는 천체이다.
        """),
        some(6, 8, """
            스스로 한 바퀴 도는 데 {turn}시간이 걸린다.
            공전 주기는 {period}년이다.
            주된 성분은 {makeup:이다/다}.
            {stem:은/는} {path}.
            표면에는 {ground:이/가} 있는 것으로 보인다.
            {tool:으로/로} 찍은 사진에서 {ground2:이/가} 확인되었다.
            이름은 발견자의 고향인 {town}의 옛 이름 '{stem}'에서 따왔다.
            {person:은/는} {tool:을/를} 써서 {stem}의 밝기를 여러 해 동안 기록하였다.
            {glow}의 표면은 햇빛을 적게 반사한다.
            {person2:은/는} {makeup:이/가} 섞여 있다는 점을 들어 그 기원을 설명하였다.
        """),
        some(1, 2, """
            {stem:을/를} 가까이에서 살핀 탐사선은 아직 없다.
            {mountain} 천문대는 지금도 {month}월마다 {stem:을/를} 관측한다.
            다음에 {stem:이/가} 가장 밝아지는 때를 두고 여러 계산이 나와 있다.
            {person}의 관측 일지는 {town} 과학관에 보관되어 있다.
        """),
    ),
)

MAIN_ISLAND = Kind(
    slots={
        "shore": range(4, 88), "peak": range(60, 960), "homes": range(18, 900),
        "fish": words("멸치 갈치 고등어 전복 미역 소라 문어 다시마 오징어 굴 톳"),
        "beast": words("바다제비 물개 상괭이 갈매기 도요 수달 섬개개비"),
        "ferry": range(20, 190, 5),
        "myth": words("바위가_된_어부 용이_된_뱀장어 섬을_밀고_온_거인 달을_건진_해녀 노래하는_동굴"),
    },
    parts=(
        one("""
            {island:은/는} {bay}에서 {direction:으로/로} {shore}km 떨어진 섬이다.
            {island:은/는} {town}에 딸린 섬으로, {rock:으로/로} 이루어져 있다.
            {bay} 앞의 {island:은/는} 화산 활동으로 생긴 섬이다.
        """),
        some(6, 9, """
            해안선의 길이는 {shore}km이고 가장 높은 봉우리는 해발 {peak}m이다.
            섬에는 {homes}가구가 살며 주로 {fish:과/와} {fish2:을/를} 잡는다.
            {town}에서 {island}까지 배로 {ferry}분이 걸린다.
            {island}의 남쪽 벼랑에는 {beast:이/가} 둥지를 틀거나 쉬어 간다.
            섬 이름은 {myth}에 얽힌 전설에서 나왔다고 한다.
            평지가 적어 밭에서는 {crop:과/와} {crop2:을/를} 조금씩 기른다.
            {rock} 절벽에는 파도가 깎아 만든 동굴이 여럿 있다.
            {year}년에 세워진 등대가 {island}의 상징이다.
            {island} 주민들은 음력 {month}월에 풍어를 비는 굿을 올린다.
            {source}에는 {century}세기에 처음 사람이 들어와 살았다고 적혀 있다.
            {later}년에는 {fish} 양식장이 들어섰다.
            겨울에도 눈이 드물어 {tree} 숲이 푸르게 남아 있다.
        """),
        one("""
            {town:은/는} {afterwards}년에 {island:을/를} 자연 휴식지로 정하였다.
            오늘날 {island:은/는} {beast:을/를} 보려는 여행자가 찾는 곳이다.
            {myth} 이야기는 {island}의 벽화로도 남아 있다.
        """),
    ),
)

MAIN_KINDS = (MAIN_RIVER, MAIN_TOWN, MAIN_PERSON, MAIN_PLANT, MAIN_ANIMAL, MAIN_EVENT, MAIN_WORK,
              MAIN_BUILDING, MAIN_DISH, MAIN_SKY, MAIN_ISLAND)


# ---------------------------------------------------------------------------------------------------------
# textbook: explanations, worked examples and exercises; every equation holds

TEXTBOOK_SLOTS = {
    "kid": words("은솔 하람 민재 서윤 도윤 지호 유나 태오 시아 나윤 준호 예린 소율 건희 다인 로아 승우 "
                 "하준 채아 이준 보민 찬영 세린 온유"),
    "unit": range(1, 13),
    "lesson": range(1, 9),
    "number": range(1, 30),
    "page": range(12, 190),
    "room": words("교실 도서관 문구점 마을_회관 강당 미술실 체험_학습장 창고 전시실"),
    "hall": words("교실 도서관 과학실 학교_텃밭 급식실 문구점 마을_회관 강당 체험_학습장 시장 과수원 "
                  "박물관 미술실 운동장"),
    "opening": lines("""
        이번 시간에는 {topic:을/를} 알아봅시다.
        {unit}단원에서는 {topic:을/를} 배웁니다.
        오늘 배울 내용은 {topic}입니다.
        {lesson}차시 학습 목표는 {topic:을/를} 이해하고 생활에 적용하는 것입니다.
        지난 시간에 배운 내용을 떠올리며 {topic:을/를} 공부해 봅시다.
        {topic:을/를} 예와 함께 살펴봅시다.
        {page}쪽을 펴고 {topic:을/를} 함께 공부해 봅시다.
        {kid:과/와} {kid2:은/는} {topic:을/를} 배우고 있습니다. 두 친구를 따라 문제를 풀어 봅시다.
    """),
    "example": words("예제_{number}. 문제_{number}. 보기_{number}. 활동_{number}."),
    "solution": words("풀이. 풀이_과정. 해설."),
    "check": words("확인_문제. 연습_문제. 스스로_풀기. 다시_풀기."),
    "answer": words("정답:"),
    "advice": lines("""
        식을 세운 다음에는 반드시 단위를 확인합니다.
        답을 구한 뒤에는 처음 조건에 맞는지 검산해 봅시다.
        그림을 그려 보면 문제를 더 쉽게 이해할 수 있습니다.
        풀이 과정을 짝에게 말로 설명해 봅시다.
        구하려는 것이 무엇인지 먼저 밑줄을 그어 봅시다.
        계산하기 전에 답이 얼마쯤일지 어림해 봅시다.
        다른 방법으로도 풀 수 있는지 생각해 봅시다.
        틀린 문제는 오답 공책에 옮겨 적고 까닭을 적어 봅시다.
        숫자를 바꾸어 비슷한 문제를 직접 만들어 봅시다.
    """),
}

TEXTBOOK_THINGS = table("thing counter", """
    사과; 개
    공책; 권
    연필; 자루
    색종이; 장
    구슬; 개
    우표; 장
    튤립; 송이
    의자; 개
    동화책; 권
    달걀; 개
    나무 모종; 그루
    풍선; 개
    그림엽서; 장
    단추; 개
    화분; 개
    감자; 개
    도화지; 장
    리본; 개
    쌓기나무; 개
    조개껍데기; 개
""")

TEXTBOOK_SUM = Kind(
    tables=(TEXTBOOK_THINGS,),
    slots={
        "topic": words("세_수의_덧셈과_뺄셈 덧셈과_뺄셈의_순서 혼합_계산 문장으로_된_덧셈_문제"),
        "a": range(28, 480), "b": range(13, 390), "c": range(4, 27),
        "ab": total("a", "b"), "rest": difference("ab", "c"),
        "d": range(12, 260), "e": range(11, 190), "de": total("d", "e"),
    },
    parts=(
        one("{opening}"),
        one("""
            덧셈과 뺄셈이 섞여 있는 식은 앞에서부터 차례로 계산합니다.
            더하는 두 수의 순서를 바꾸어도 합은 같습니다.
            받아올림이 있을 때에는 윗자리에 1을 더하는 것을 잊지 않습니다.
            여러 수를 더할 때에는 계산하기 쉬운 수끼리 먼저 더할 수도 있습니다.
            뺄셈의 답이 맞는지는 덧셈으로 확인할 수 있습니다.
        """),
        one("""
            |{example} {room}에 {thing:이/가} {a}{counter} 있었습니다. {kid:이/가} {b}{counter:을/를} 더 \
                가져오고 {c}{counter:을/를} 동생에게 주었습니다. 남은 {thing:은/는} 모두 몇 {counter}입니까?
            |{example} {kid:은/는} {thing} {a}{counter:을/를} 모았고 {kid2:은/는} {b}{counter:을/를} \
                모았습니다. 두 사람이 모은 것 가운데 {c}{counter:을/를} {room}에 기증하면 몇 {counter:이/가} \
                남습니까?
            |{example} 어제 {thing} {a}{counter}, 오늘 {b}{counter:이/가} {room:으로/로} 배달되었습니다. 그 \
                가운데 {c}{counter:은/는} 못 쓰게 되어 돌려보냈습니다. 쓸 수 있는 {thing:은/는} 몇 \
                {counter}입니까?
        """),
        one("""
            |{solution} {a:과/와} {b:을/를} 더하면 {a} + {b} = {ab}입니다. 여기서 {c:을/를} 빼면 {ab} - {c} \
                = {rest}입니다. 따라서 {thing:은/는} {rest}{counter} 남습니다.
            |{solution} 식을 하나로 쓰면 {a} + {b} - {c} = {rest}입니다. 그러므로 남은 {thing:은/는} \
                {rest}{counter}입니다. 검산하면 {rest} + {c} = {ab}이므로 맞습니다.
        """),
        one("""
            |{check} {kid2:이/가} {thing} {d}{counter:을/를} 가지고 있습니다. {e}{counter:을/를} 더 받으면 \
                모두 몇 {counter}입니까? {answer} {de}{counter} ({d} + {e} = {de})
            |{check} {room}에 {thing} {d}{counter:과/와} 새로 산 {e}{counter:이/가} 있습니다. 합은 \
                얼마입니까? {answer} {de}{counter} ({d} + {e} = {de})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_SHARE = Kind(
    tables=(TEXTBOOK_THINGS,),
    slots={
        "topic": words("곱셈과_나눗셈의_관계 똑같이_나누기 나눗셈의_몫 묶어_세기"),
        "a": range(3, 19), "b": range(4, 32), "ab": product("a", "b"),
        "d": range(3, 13), "e": range(6, 25), "de": product("d", "e"),
        "group": words("상자 바구니 봉지 선반 접시 서랍"),
    },
    parts=(
        one("{opening}"),
        one("""
            곱셈식 하나로 나눗셈식 두 개를 만들 수 있습니다.
            나눗셈은 전체를 똑같이 나눌 때 한 묶음의 크기를 구하는 계산입니다.
            나눗셈의 몫은 곱셈으로 확인할 수 있습니다.
            같은 수를 여러 번 더하는 것은 곱셈으로 간단히 나타낼 수 있습니다.
            나누어지는 수는 나누는 수와 몫의 곱과 같습니다.
        """),
        one("""
            |{example} {kid:은/는} {thing} {ab}{counter:을/를} {group} {a}개에 똑같이 나누어 담으려고 \
                합니다. {group} 하나에 몇 {counter:을/를} 담아야 합니까?
            |{example} {room}에 있는 {thing} {ab}{counter:을/를} {group} {a}개로 똑같이 나누면 한 {group}에 \
                몇 {counter}씩 담깁니까?
            |{example} {kid:과/와} {kid2:은/는} {thing} {ab}{counter:을/를} {group} {a}개에 나누어 \
                정리하였습니다. 모두 똑같이 담았다면 {group} 하나에는 몇 {counter:이/가} 들어 있습니까?
        """),
        one("""
            |{solution} 전체 {ab:을/를} {a:으로/로} 나누면 {ab} ÷ {a} = {b}입니다. 따라서 {group} 하나에 \
                {b}{counter}씩 담습니다. 거꾸로 {a} × {b} = {ab}이므로 답이 맞습니다.
            |{solution} {a}에 어떤 수를 곱해야 {ab:이/가} 되는지 찾습니다. {a} × {b} = {ab}이므로 {ab} ÷ {a} \
                = {b}이고, {thing:은/는} {b}{counter}씩 나뉩니다.
        """),
        one("""
            |{check} {kid2:은/는} 하루에 {thing} {e}{counter}씩 {d}일 동안 모았습니다. 모두 몇 \
                {counter}입니까? {answer} {de}{counter} ({e} × {d} = {de})
            |{check} {thing} {de}{counter:을/를} 친구 {d}명에게 똑같이 나누어 주면 한 사람은 몇 \
                {counter:을/를} 받습니까? {answer} {e}{counter} ({de} ÷ {d} = {e})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_AREA = Kind(
    tables=(table("length square shape", """
        m; ㎡; 꽃밭, 수영장, 텃밭, 놀이터, 벽화, 운동장, 논, 주차장
        cm; ㎠; 게시판, 식탁보, 도화지, 액자, 수건, 거울, 교과서 표지, 화장대
    """),),
    slots={
        "topic": words("직사각형의_넓이 직사각형의_둘레와_넓이 넓이의_단위 다각형의_넓이"),
        "a": range(4, 40), "b": range(3, 30), "ab": product("a", "b"), "half": total("a", "b"),
        "two": range(2, 3), "round": product("half", "two"),
        "base": range(4, 31), "high": range(2, 40, 2), "box": product("base", "high"),
        "triangle": lambda value: value("box") // 2,
    },
    parts=(
        one("{opening}"),
        one("""
            직사각형의 넓이는 가로와 세로를 곱하여 구합니다.
            한 변이 1{length}인 정사각형이 몇 개 들어가는지 세면 넓이를 알 수 있습니다.
            넓이는 면의 크기이고 둘레는 가장자리의 길이이므로 서로 구별해야 합니다.
            둘레가 같아도 넓이는 서로 다를 수 있습니다.
            삼각형의 넓이는 밑변과 높이를 곱한 값의 절반입니다.
        """),
        one("""
            |{example} 가로가 {a}{length}이고 세로가 {b}{length}인 직사각형 모양의 {shape:이/가} 있습니다. \
                이 {shape}의 넓이를 구해 봅시다.
            |{example} {kid:이/가} 그린 설계도에는 가로 {a}{length}, 세로 {b}{length}인 {shape:이/가} \
                있습니다. {shape}의 넓이와 둘레를 구해 봅시다.
            |{example} {kid:과/와} {kid2:은/는} {shape:을/를} 재어 보았습니다. 가로는 {a}{length}, 세로는 \
                {b}{length}였습니다. {shape}의 넓이와 둘레는 각각 얼마입니까?
        """),
        one("""
            |{solution} 넓이는 가로와 세로의 곱이므로 {a} × {b} = {ab}입니다. 둘레는 {a:과/와} {b}의 합을 두 \
                배 한 ({a} + {b}) × 2 = {round}입니다. {shape}의 넓이는 {ab}{square}입니다.
            |{solution} 가로 {a:과/와} 세로 {b:을/를} 곱하면 {a} × {b} = {ab}입니다. {shape}의 둘레는 ({a} + \
                {b}) × 2 = {round}이므로 끈이 {round}{length} 필요합니다.
        """),
        one("""
            |{check} 밑변이 {base}{length}이고 높이가 {high}{length}인 삼각형의 넓이를 구하시오. {answer} \
                {triangle} ({base} × {high} ÷ 2 = {triangle})
            |{check} {kid2:이/가} 그린 삼각형은 밑변이 {base}{length}, 높이가 {high}{length}입니다. 넓이는 \
                얼마입니까? {answer} {triangle} ({base} × {high} ÷ 2 = {triangle})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_MEAN = Kind(
    tables=(table("measure suffix", """
        줄넘기 횟수; 회
        독서 시간; 분
        받아쓰기 점수; 점
        종이컵 쌓기 기록; 개
        종이비행기가 난 거리; m
        텃밭에서 딴 토마토의 수; 개
        컵에 담긴 물의 양; mL
        그림자의 길이; cm
        강낭콩 줄기의 길이; mm
        도서 대출 권수; 권
    """),),
    slots={
        "topic": words("평균 평균의_뜻 자료의_정리 대푯값_구하기"),
        "mean": ("{m}{suffix}",), "last": ("{z}{suffix}",), "m": range(24, 79), "p": range(1, 12),
        "q": range(1, 12),
        "x": lambda value: value("m") - value("p"),
        "y": lambda value: value("m") + value("p") + value("q"),
        "z": lambda value: value("m") - value("q"),
        "sum": total("x", "y", "z"), "four": range(4, 5), "all": product("m", "four"),
    },
    parts=(
        one("{opening}"),
        one("""
            평균은 자료의 값을 모두 더한 다음 자료의 개수로 나눈 값입니다.
            자료 전체를 하나의 수로 나타낼 때 평균을 자주 씁니다.
            값이 고르지 않은 자료를 고르게 만들었을 때의 값을 평균이라고 합니다.
            평균을 알면 두 모둠의 자료를 쉽게 견줄 수 있습니다.
            평균에 자료의 개수를 곱하면 자료 전체의 합이 됩니다.
        """),
        one("""
            |{example} {kid}의 사흘 동안 {measure:을/를} 조사하였더니 {x}{suffix}, {y}{suffix}, \
                {last:이었습니다/였습니다}. {measure}의 평균을 구해 봅시다.
            |{example} {kid}, {kid2}, {kid3} 세 사람의 {measure:은/는} 차례로 {x}{suffix}, {y}{suffix}, \
                {z}{suffix}입니다. 평균은 얼마입니까?
            |{example} 표를 보면 {measure:은/는} 월요일 {x}{suffix}, 화요일 {y}{suffix}, 수요일 \
                {last:이었습니다/였습니다}. {kid:이/가} 구해야 할 사흘의 평균은 얼마입니까?
        """),
        one("""
            |{solution} 세 값을 더하면 {x} + {y} + {z} = {sum}이고, 이를 3으로 나누면 {sum} ÷ 3 = {m}입니다. \
                따라서 {measure}의 평균은 {m}{suffix}입니다.
            |{solution} 한 식으로 나타내면 ({x} + {y} + {z}) ÷ 3 = {m}입니다. {measure}의 평균은 \
                {m}{suffix}이며, 가장 큰 값 {y:은/는} 평균보다 큽니다.
        """),
        one("""
            |{check} 나흘 동안의 {measure} 평균이 {mean:이라면/라면} 나흘의 합은 얼마입니까? {answer} \
                {all}{suffix} ({m} × 4 = {all})
            |{check} {kid2:이/가} 네 번 잰 {measure}의 평균도 {m}{suffix}입니다. 네 번의 합을 구하시오. \
                {answer} {all}{suffix} ({m} × 4 = {all})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_PERCENT = Kind(
    slots={
        "topic": words("백분율 비율과_할인 할인율 백분율의_활용"),
        "ware": words("운동화 가방 우산 보온병 농구공 탁상시계 색연필_세트 모자 장갑 필통 망원경 돋보기"),
        "price": range(4000, 60000, 1000), "rate": range(5, 60, 5),
        "off": lambda value: value("price") * value("rate") // 100, "paid": difference("price", "off"),
        "whole": range(100, 900, 100), "part": range(4, 60),
        "piece": lambda value: value("whole") * value("part") // 100,
        "group": words("6학년_학생 도서관_이용자 마을_주민 설문_응답자 과학_동아리_회원 관람객"),
        "answerers": words("자전거를_타는_사람 안경을_쓴_사람 독서를_좋아하는_사람 걸어서_오는_사람 "
                           "분리배출을_하는_사람"),
    },
    parts=(
        one("{opening}"),
        one("""
            기준량을 100으로 보았을 때의 비율을 백분율이라 하고 기호 %로 나타냅니다.
            백분율은 비율에 100을 곱한 값입니다.
            할인율은 원래 가격에 대한 할인 금액의 비율을 백분율로 나타낸 것입니다.
            백분율을 쓰면 기준량이 다른 두 비율을 쉽게 비교할 수 있습니다.
            1%는 전체를 똑같이 100으로 나눈 것 가운데 하나입니다.
        """),
        one("""
            |{example} {price}원짜리 {ware:을/를} {rate}% 할인하여 팝니다. {kid:이/가} 내야 할 금액을 구해 \
                봅시다.
            |{example} {kid:은/는} {hall} 앞 가게에서 정가가 {price}원인 {ware:을/를} {rate}% 싸게 샀습니다. \
                {ware}의 판매 가격은 얼마입니까?
            |{example} {kid:은/는} {price}원을 모아 {ware:을/를} 사러 갔습니다. 마침 {rate}% 할인 행사를 \
                하고 있었습니다. 정가가 {price}원이라면 {kid}에게는 얼마가 들겠습니까?
        """),
        one("""
            |{solution} 할인 금액은 {price} × {rate} ÷ 100 = {off}입니다. 원래 가격에서 빼면 {price} - {off} \
                = {paid}이므로 {kid:은/는} {paid}원을 냅니다.
            |{solution} {rate}%는 100분의 {rate:과/와} 같으므로 {price} × {rate} ÷ 100 = {off}원이 \
                할인됩니다. 따라서 {ware}의 판매 가격은 {price} - {off} = {paid}원입니다.
        """),
        one("""
            |{check} {group} {whole}명 가운데 {part}%가 {answerers}입니다. 몇 명입니까? {answer} {piece}명 \
                ({whole} × {part} ÷ 100 = {piece})
            |{check} {group} {whole}명을 조사하니 {answerers:은/는} 전체의 {part}%였습니다. 그 수를 \
                구하시오. {answer} {piece}명 ({whole} × {part} ÷ 100 = {piece})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_SPEED = Kind(
    tables=(table("mover low pace", """
        기차; 기차역; 92, 105, 118, 124, 136, 143
        버스; 정류장; 48, 54, 62, 67, 73, 78
        자전거; 자전거 길; 11, 13, 14, 16, 17, 19
        여객선; 항구; 23, 28, 34, 37, 39
        승용차; 고속 도로; 66, 71, 75, 83, 88, 94
        전동차; 지하철역; 38, 42, 45, 51
        트럭; 물류 창고; 52, 56, 61, 64, 69
        유람선; 선착장; 15, 18, 21, 24
    """),),
    slots={
        "topic": words("속력 거리와_시간과_속력의_관계 빠르기_비교 속력의_계산"),
        "v": lambda value: int(value("pace")), "t": range(2, 10), "d": product("v", "t"),
        "w": range(3, 15), "s": range(4, 26), "far": product("w", "s"),
    },
    parts=(
        one("{opening}"),
        one("""
            속력은 물체가 이동한 거리를 걸린 시간으로 나누어 구합니다.
            같은 시간 동안 더 먼 거리를 이동한 물체가 더 빠릅니다.
            같은 거리를 이동하는 데 걸린 시간이 짧을수록 속력이 큽니다.
            시속 몇 km라는 말은 한 시간 동안 이동한 거리를 나타냅니다.
            속력과 시간을 알면 이동한 거리를 구할 수 있습니다.
        """),
        one("""
            |{example} 한 시간에 {v}km를 가는 {mover:이/가} {low:을/를} 떠나 {t}시간 동안 쉬지 않고 \
                달렸습니다. {mover:이/가} 이동한 거리를 구해 봅시다.
            |{example} {kid:이/가} 탄 {mover:은/는} 일정한 빠르기로 {t}시간 동안 {d}km를 이동하였습니다. 이 \
                {mover}의 속력을 구해 봅시다.
            |{example} {mover} 안내판에 {t}시간 동안 {d}km를 간다고 적혀 있습니다. {kid:은/는} 이 \
                {mover:이/가} 한 시간에 몇 km를 가는지 궁금합니다.
        """),
        one("""
            |{solution} 거리는 속력과 시간의 곱이므로 {v} × {t} = {d}이고, 속력은 {d} ÷ {t} = {v}입니다. \
                따라서 {mover:은/는} 한 시간에 {v}km씩 {t}시간 동안 {d}km를 갔습니다.
            |{solution} 이동 거리 {d:을/를} 걸린 시간 {t:으로/로} 나누면 {d} ÷ {t} = {v}입니다. {mover}의 \
                속력은 시속 {v}km이고, 거꾸로 {v} × {t} = {d}도 성립합니다.
        """),
        one("""
            |{check} {kid2:이/가} 1초에 {w}m씩 {s}초 동안 굴러가는 공을 보았습니다. 공이 이동한 거리는 몇 \
                m입니까? {answer} {far}m ({w} × {s} = {far})
            |{check} 장난감 자동차가 {s}초 동안 {far}m를 갔습니다. 1초에 몇 m를 갔습니까? {answer} {w}m \
                ({far} ÷ {s} = {w})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_EQUATION = Kind(
    slots={
        "topic": words("일차방정식 방정식의_풀이 등식의_성질 미지수가_있는_식"),
        "a": range(2, 13), "x": range(2, 31), "ax": product("a", "x"), "b": range(3, 60),
        "c": total("ax", "b"),
        "y": range(7, 80), "k": range(6, 70), "yk": total("y", "k"),
        "ware": words("볼펜 색연필 지우개 스티커 젤리 사탕 종이컵 구슬"),
        "holder": words("필통 상자 바구니 저금통 책가방 서랍"),
    },
    parts=(
        one("{opening}"),
        one("""
            등식의 양변에 같은 수를 더하거나 빼도 등식은 성립합니다.
            미지수의 값에 따라 참이 되기도 하고 거짓이 되기도 하는 등식을 방정식이라고 합니다.
            방정식을 참이 되게 하는 미지수의 값을 그 방정식의 해라고 합니다.
            등식의 양변을 0이 아닌 같은 수로 나누어도 등식은 성립합니다.
            모르는 수를 x로 나타내면 문장을 식으로 바꿀 수 있습니다.
        """),
        one("""
            |{example} {kid:은/는} {ware:을/를} {holder} {a}개에 x개씩 나누어 담고 {b}개를 남겼습니다. \
                {ware:이/가} 처음에 {c}개였다면 {holder} 하나에 담은 {ware:은/는} 몇 개입니까?
            |{example} 어떤 수에 {a:을/를} 곱하고 {b:을/를} 더했더니 {c:이/가} 되었습니다. 어떤 수를 x라 \
                하고 {kid:과/와} 함께 구해 봅시다.
            |{example} 저울 왼쪽에는 무게가 같은 {ware} {a}개와 {b}g짜리 추가 있고 오른쪽에는 {c}g짜리 추가 \
                있습니다. 저울이 수평일 때 {ware} 하나의 무게 x를 구해 봅시다.
        """),
        one("""
            |{solution} 식을 세우면 {a}x + {b} = {c}입니다. 양변에서 {b:을/를} 빼면 {c} - {b} = {ax}이므로 \
                {a}x = {ax}입니다. 양변을 {a:으로/로} 나누면 {ax} ÷ {a} = {x}, 곧 x = {x}입니다.
            |{solution} {a}x + {b} = {c}에서 {b:을/를} 오른쪽으로 옮기면 {a}x = {ax}입니다. 따라서 x = \
                {x}입니다. 확인하면 {a} × {x} + {b} = {c}입니다.
        """),
        one("""
            |{check} x + {k} = {yk}일 때 x의 값을 구하시오. {answer} {y} ({yk} - {k} = {y})
            |{check} {kid2:이/가} 생각한 수에 {k:을/를} 더하면 {yk:이/가} 됩니다. 생각한 수는 무엇입니까? \
                {answer} {y} ({yk} - {k} = {y})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_SEQUENCE = Kind(
    slots={
        "seats": words("공연장 강당 야외무대 체육관 극장 시청각실"),
        "topic": words("등차수열 수의_규칙 규칙_찾기 일정하게_커지는_수"),
        "a": range(2, 50), "d": range(2, 16), "b": total("a", "d"), "c": total("b", "d"),
        "e": total("c", "d"),
        "n": range(7, 25), "less": lambda value: value("n") - 1, "step": product("d", "less"),
        "term": total("a", "step"), "next": total("e", "d"),
    },
    parts=(
        one("{opening}"),
        one("""
            이웃한 두 수의 차가 언제나 같은 수의 나열을 등차수열이라고 합니다.
            규칙을 찾을 때에는 이웃한 두 수의 차를 먼저 살펴봅니다.
            첫째 수와 일정하게 더하는 수를 알면 몇째 수라도 구할 수 있습니다.
            규칙을 말로 설명한 다음 식으로 나타내면 실수를 줄일 수 있습니다.
            등차수열에서 일정하게 더하는 수를 공차라고 합니다.
        """),
        one("""
            |{example} {kid:이/가} 공책에 {a}, {b}, {c}, {e}, ...를 차례로 적었습니다. {n}번째 수를 구해 \
                봅시다.
            |{example} {seats}의 의자는 첫째 줄에 {a}개, 둘째 줄에 {b}개, 셋째 줄에 {c}개씩 놓여 있습니다. \
                같은 규칙이라면 {n}번째 줄의 의자는 몇 개입니까?
            |{example} {kid:은/는} 첫째 날 윗몸일으키기를 {a}번 하고, 날마다 {d}번씩 늘려 둘째 날 {b}번, \
                셋째 날 {c}번 하였습니다. {n}번째 날에는 몇 번 하게 됩니까?
        """),
        one("""
            |{solution} 이웃한 두 수의 차는 {b} - {a} = {d}입니다. {n}번째 수까지는 {d:을/를} {less}번 \
                더하므로 {d} × {less} = {step}이고, {a} + {step} = {term}입니다. 답은 {term}입니다.
            |{solution} {b} - {a} = {d}, {c} - {b} = {d}이므로 {d}씩 커지는 규칙입니다. 따라서 {n}번째는 {a} \
                + {less} × {d} = {term}입니다.
        """),
        one("""
            |{check} {e} 다음에 올 수를 쓰시오. {answer} {next} ({e} + {d} = {next})
            |{check} {kid2:은/는} 같은 규칙으로 다섯째 수를 구했습니다. 얼마입니까? {answer} {next} ({e} + \
                {d} = {next})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_DIVISOR = Kind(
    tables=(table("left right", """
        2; 3
        2; 5
        3; 4
        3; 5
        4; 5
        2; 7
        3; 7
        5; 6
        4; 7
        5; 7
        3; 8
        5; 8
        4; 9
        7; 8
        2; 9
    """),),
    slots={
        "topic": words("최대공약수 공약수와_최대공약수 약수의_활용 공배수와_최소공배수"),
        "g": range(2, 25), "p": lambda value: int(value("left")), "q": lambda value: int(value("right")),
        "a": product("g", "p"), "b": product("g", "q"), "least": product("a", "q"),
        "bloom": words("장미 튤립 국화 백합 카네이션 수국"),
        "other": words("사탕 초콜릿 과자 젤리 귤 자두"),
    },
    parts=(
        one("{opening}"),
        one("""
            두 수의 공통인 약수를 공약수라 하고, 그 가운데 가장 큰 수를 최대공약수라고 합니다.
            어떤 수를 나누어떨어지게 하는 수를 그 수의 약수라고 합니다.
            두 수의 공배수 가운데 가장 작은 수를 최소공배수라고 합니다.
            공약수가 1뿐인 두 수를 서로소라고 합니다.
            두 수의 공약수는 최대공약수의 약수와 같습니다.
        """),
        one("""
            |{example} {kid:은/는} {bloom} {a}송이와 {other} {b}개를 최대한 많은 친구에게 남김없이 똑같이 \
                나누어 주려고 합니다. 몇 명에게 나누어 줄 수 있습니까?
            |{example} {bloom} {a}송이와 {other} {b}개로 똑같은 선물 꾸러미를 만들 때, 꾸러미는 최대 몇 \
                개입니까?
            |{example} {kid:이/가} {bloom} {a}송이와 {other} {b}개를 남김없이 접시에 똑같이 나누어 놓으려고 \
                합니다. 접시는 최대 몇 개까지 쓸 수 있습니까?
        """),
        one("""
            |{solution} {a} = {g} × {p}이고 {b} = {g} × {q}입니다. {p:과/와} {q}의 공약수는 1뿐이므로 \
                {a:과/와} {b}의 최대공약수는 {g}입니다. 이때 하나에 {a} ÷ {g} = {p}송이와 {b} ÷ {g} = \
                {q}개가 들어갑니다.
            |{solution} {a:과/와} {b:을/를} 모두 나누어떨어지게 하는 가장 큰 수를 찾으면 {g}입니다. 실제로 \
                {a} ÷ {g} = {p}, {b} ÷ {g} = {q}이고, {p:과/와} {q:은/는} 더 나눌 수 없습니다.
        """),
        one("""
            |{check} {a:과/와} {b}의 최소공배수를 구하시오. {answer} {least} ({g} × {p} × {q} = {least})
            |{check} {kid2:이/가} {a:과/와} {b}의 공배수 가운데 가장 작은 수를 찾았습니다. 그 수는 \
                무엇입니까? {answer} {least} ({g} × {p} × {q} = {least})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_CHANCE = Kind(
    slots={
        "topic": words("경우의_수 가능성과_확률 확률의_뜻 짝을_짓는_방법의_수"),
        "a": range(2, 13), "b": range(2, 12), "ab": product("a", "b"),
        "red": range(2, 15), "blue": range(2, 15), "balls": total("red", "blue"),
        "times": range(3, 30), "draws": product("times", "balls"), "hits": product("times", "red"),
        "upper": words("윗옷 셔츠 모자 조끼 티셔츠"), "lower": words("바지 치마 신발 양말 가방"),
        "dark": words("빨간 검은 초록 보라"), "light": words("흰 노란 파란 주황"),
        "piece": words("공 구슬 바둑돌 카드 단추 칩"),
    },
    parts=(
        one("{opening}"),
        one("""
            어떤 일이 일어날 수 있는 가짓수를 경우의 수라고 합니다.
            두 가지를 함께 고르는 경우의 수는 각각의 가짓수를 곱하여 구합니다.
            일어날 수 있는 모든 경우에 대한 어떤 일이 일어날 경우의 비율을 확률이라고 합니다.
            확률은 0보다 작거나 1보다 클 수 없습니다.
        """),
        one("""
            |{example} {kid}에게는 서로 다른 {upper} {a}가지와 {lower} {b}가지가 있습니다. 하나씩 골라 짝을 \
                짓는 방법은 모두 몇 가지입니까?
            |{example} {kid:이/가} 서로 다른 {upper} {a}가지 가운데 하나, 서로 다른 {lower} {b}가지 가운데 \
                하나를 고릅니다. 경우의 수를 구해 봅시다.
        """),
        one("""
            |{solution} {upper} 하나를 고를 때마다 {lower:을/를} 고르는 방법이 {b}가지씩 있으므로 {a} × {b} \
                = {ab}입니다. 따라서 방법은 모두 {ab}가지입니다.
            |{solution} 나뭇가지 모양의 그림을 그려 세면 {ab}가지입니다. 식으로는 {a} × {b} = {ab}입니다.
        """),
        one("""
            |{check} 주머니에 {dark} {piece} {red}개와 {light} {piece} {blue}개가 들어 있습니다. \
                {piece:은/는} 모두 몇 개입니까? {answer} {balls}개 ({red} + {blue} = {balls}) 이때 {dark} \
                {piece:을/를} 꺼낼 확률은 {balls}분의 {red}입니다.
            |{check} {dark} {piece:이/가} {balls}개 가운데 {red}개 있는 주머니에서 꺼냈다 다시 넣기를 \
                {draws}번 하면 {dark} {piece:은/는} 몇 번쯤 나오겠습니까? {answer} {hits}번 ({draws} × {red} \
                ÷ {balls} = {hits})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_TIME = Kind(
    slots={
        "topic": words("시간의_계산 시간과_분 시각과_시간 시간의_단위"),
        "h": range(1, 7), "m": range(5, 60), "sixty": range(60, 61), "hm": product("h", "sixty"),
        "all": total("hm", "m"), "daily": range(15, 90, 5), "days": range(3, 31),
        "sum": product("daily", "days"),
        "event": words("기차_여행 학예회 마라톤_대회 숲_체험 합창_연습 천체_관측 영화_상영 김장 등산 "
                       "미술_전시"),
        "custom": words("독서 피아노_연습 줄넘기 일기_쓰기 수학_공부 텃밭_가꾸기 그림_그리기 산책"),
    },
    parts=(
        one("{opening}"),
        one("""
            1시간은 60분입니다.
            시각은 어느 한 때를, 시간은 시각과 시각 사이를 나타냅니다.
            시간을 분으로 바꿀 때에는 시간의 수에 60을 곱합니다.
            분을 시간으로 바꿀 때에는 60으로 나누어 몫과 나머지를 봅니다.
        """),
        one("""
            |{example} {kid:이/가} 참가한 {event:은/는} {h}시간 {m}분 동안 이어졌습니다. 모두 몇 분입니까?
            |{example} {event}에 {h}시간 {m}분이 걸렸습니다. 이 시간을 분으로 나타내어 봅시다.
        """),
        one("""
            |{solution} {h}시간은 {h} × 60 = {hm}분입니다. 여기에 {m}분을 더하면 {hm} + {m} = {all}입니다. \
                따라서 {event} 시간은 {all}분입니다.
            |{solution} 한 식으로 쓰면 {h} × 60 + {m} = {all}입니다. 답은 {all}분입니다.
        """),
        one("""
            |{check} {kid2:은/는} 하루에 {daily}분씩 {days}일 동안 {custom:을/를} 하였습니다. 모두 몇 \
                분입니까? {answer} {sum}분 ({daily} × {days} = {sum})
            |{check} {kid2:이/가} {custom:을/를} 날마다 {daily}분 한다면 {days}일 동안 한 시간의 합은 \
                얼마입니까? {answer} {sum}분 ({daily} × {days} = {sum})
        """),
        maybe("|{advice}"),
    ),
)

TEXTBOOK_SCIENCE = Kind(
    tables=(table("topic meaning case error truth kit", """
        밀도; 물질의 질량을 부피로 나눈 값; 기름이 물 위에 뜨는 현상, 얼음이 물에 뜨는 현상; 무거운 물체는 \
            모두 물에 가라앉는다; 가라앉는지는 물과의 밀도 차이로 정해집니다; 윗접시저울, 눈금실린더
        증발; 액체가 표면에서 기체로 변하는 현상; 젖은 빨래가 마르는 일, 물웅덩이가 사라지는 일; 물은 끓을 \
            때만 기체가 된다; 물은 끓지 않아도 표면에서 조금씩 기체로 변합니다; 페트리 접시, 전자저울
        응결; 기체가 액체로 변하는 현상; 찬 컵 겉면에 물방울이 맺히는 일, 풀잎에 이슬이 맺히는 일; 컵 겉면의 \
            물은 컵에서 새어 나온 것이다; 공기 속 수증기가 식어서 생긴 물입니다; 유리컵, 얼음
        관성; 물체가 원래의 운동 상태를 유지하려는 성질; 버스가 멈출 때 몸이 앞으로 쏠리는 일, 이불을 털면 \
            먼지가 떨어지는 일; 움직이는 물체는 힘이 없으면 곧 멈춘다; 마찰 같은 힘이 없다면 물체는 계속 \
            움직입니다; 수레, 동전
        마찰력; 맞닿은 두 물체 사이에서 움직임을 방해하는 힘; 눈길에서 미끄러지는 일, 성냥에 불이 붙는 일; \
            마찰력은 늘 없을수록 좋다; 마찰력이 없으면 걷거나 물건을 쥘 수 없습니다; 나무 도막, 용수철저울
        부력; 물이나 공기가 물체를 위로 밀어 올리는 힘; 물속에서 몸이 가볍게 느껴지는 일, 배가 물에 뜨는 일; \
            쇠로 만든 것은 물에 뜰 수 없다; 쇠로 만든 배도 밀어낸 물이 많으면 뜹니다; 수조, 용수철저울
        빛의 반사; 빛이 물체에 부딪쳐 되돌아 나오는 현상; 거울에 얼굴이 비치는 일, 호수에 산이 비치는 일; \
            거울만 빛을 반사한다; 거의 모든 물체가 빛을 반사하므로 우리 눈에 보입니다; 평면거울, 레이저 \
            지시기
        빛의 굴절; 빛이 다른 물질로 들어갈 때 꺾이는 현상; 물속의 젓가락이 꺾여 보이는 일, 물속 동전이 떠 \
            보이는 일; 물속의 물체는 보이는 자리에 그대로 있다; 빛이 꺾여 실제보다 얕은 곳에 있는 것처럼 \
            보입니다; 수조, 젓가락
        전도; 고체에서 열이 물질을 따라 옮겨 가는 현상; 국에 담근 숟가락이 뜨거워지는 일, 냄비 바닥이 \
            데워지는 일; 금속은 본래 차가운 물질이다; 금속은 손의 열을 빨리 옮겨 가서 차갑게 느껴집니다; \
            구리 막대, 촛농
        대류; 액체나 기체가 직접 움직이며 열을 옮기는 현상; 주전자의 물이 골고루 데워지는 일, 난로를 켠 방 \
            위쪽이 먼저 따뜻해지는 일; 난로 곁의 공기만 따뜻해진다; 데워진 공기가 위로 올라가 방 전체에 열을 \
            옮깁니다; 비커, 톱밥
        용해; 한 물질이 다른 물질에 고르게 섞이는 현상; 소금이 물에 녹는 일, 설탕이 차에 녹는 일; 녹은 \
            소금은 없어진 것이다; 물의 무게에 소금의 무게가 더해지므로 없어진 것이 아닙니다; 약숟가락, \
            전자저울
        확산; 물질을 이루는 입자가 스스로 퍼져 나가는 현상; 꽃향기가 방에 퍼지는 일, 잉크가 물에 번지는 일; \
            냄새는 바람이 있어야만 퍼진다; 바람이 없어도 입자가 스스로 움직여 퍼집니다; 잉크, 스포이트
        광합성; 식물이 빛을 이용하여 양분을 만드는 작용; 잎에서 녹말이 만들어지는 일, 물풀에서 산소 방울이 \
            나오는 일; 식물은 흙에서 모든 양분을 얻는다; 식물은 빛과 물과 이산화 탄소로 양분을 만듭니다; \
            아이오딘 용액, 검정말
        증산 작용; 식물 속의 물이 잎에서 수증기로 나가는 현상; 비닐을 씌운 가지에 물방울이 맺히는 일, 숲속 \
            공기가 촉촉한 일; 식물은 빨아들인 물을 모두 써 버린다; 빨아들인 물의 대부분은 잎을 거쳐 \
            나갑니다; 봉선화, 비닐봉지
        침식; 물이나 바람이 땅을 깎아 내는 현상; 강의 상류에 깊은 골짜기가 생기는 일, 바닷가 절벽이 깎이는 \
            일; 바위는 언제까지나 모양이 변하지 않는다; 단단한 바위도 오랜 세월이 지나면 깎입니다; 흙 언덕 \
            모형, 물뿌리개
        퇴적; 운반된 흙과 모래가 쌓이는 현상; 강 하구에 넓은 땅이 생기는 일, 호수 바닥에 진흙이 쌓이는 일; \
            흙은 높은 곳에만 쌓인다; 물살이 느려지는 낮은 곳에 주로 쌓입니다; 투명한 통, 자갈과 모래
        지구의 자전; 지구가 하루에 한 바퀴씩 스스로 도는 운동; 낮과 밤이 번갈아 오는 일, 별이 하늘을 도는 \
            것처럼 보이는 일; 태양이 지구 둘레를 돌아 낮과 밤이 생긴다; 지구가 스스로 돌기 때문에 낮과 밤이 \
            생깁니다; 지구본, 손전등
        지구의 공전; 지구가 일 년에 한 바퀴씩 태양 둘레를 도는 운동; 계절에 따라 별자리가 바뀌는 일, 낮의 \
            길이가 달라지는 일; 여름에는 지구가 태양에 가까워져서 덥다; 계절은 자전축이 기울어진 채 돌기 \
            때문에 생깁니다; 지구본, 전등
        습도; 공기 속에 수증기가 들어 있는 정도; 장마철에 빨래가 더디 마르는 일, 겨울철 입술이 트는 일; 더운 \
            날은 언제나 습도가 높다; 덥더라도 수증기가 적으면 습도는 낮습니다; 건습구 온도계, 거즈
        기압; 공기가 누르는 힘의 크기; 빨대로 음료를 마시는 일, 높은 산에서 과자 봉지가 부푸는 일; 공기에는 \
            무게가 없다; 공기도 무게가 있어 우리를 사방에서 누르고 있습니다; 흡착판, 주사기
        먹이 사슬; 생물이 먹고 먹히는 관계가 이어진 것; 벼와 메뚜기와 개구리의 관계, 풀과 토끼와 여우의 \
            관계; 한 생물이 사라져도 다른 생물은 그대로이다; 한 생물이 사라지면 이어진 생물 모두가 영향을 \
            받습니다; 생물 카드, 실
        탄성; 힘을 받아 변한 물체가 원래대로 돌아가려는 성질; 눌린 스펀지가 다시 부푸는 일, 고무줄이 \
            되돌아가는 일; 탄성은 고무에만 있다; 용수철이나 활처럼 쇠와 나무에도 탄성이 있습니다; 용수철, 추
    """),),
    slots={
        "notice": words("시간에_따른_변화 온도에_따른_차이 처음과_나중의_모습 양을_달리했을_때의_결과"),
        "team": range(1, 9), "times": range(3, 8),
        "surface": words("탐구_질문 생각_열기 실험 관찰_기록"),
    },
    parts=(
        one("{opening}"),
        one("""
            {topic:이란/란} {meaning:을/를} 말합니다.
            {meaning:을/를} {topic:이라고/라고} 합니다.
            과학에서는 {meaning:을/를} 가리켜 {topic:이라고/라고} 부릅니다.
        """),
        some(1, 2, """
            {case:이/가} 대표적인 예입니다.
            우리 주변에서는 {case:과/와} {case2:을/를} {topic}의 예로 들 수 있습니다.
            {kid:은/는} {case:을/를} 떠올리며 {topic:을/를} 설명하였습니다.
        """),
        one("""
            흔히 '{error}'라고 생각하지만 이는 사실과 다릅니다. {truth}.
            {kid2:은/는} '{error}'라고 답했습니다. 이 생각이 왜 옳지 않은지 말해 봅시다. {truth}.
        """),
        some(2, 3, """
            |{surface}. {kit:과/와} {kit2:을/를} 준비하여 {topic:을/를} 확인하는 실험을 해 봅시다. \
                {notice:을/를} 표에 적습니다.
            |{team}모둠은 {kit:을/를} 써서 {times}번 되풀이하여 관찰하였습니다. 여러 번 하는 까닭은 결과를 \
                믿을 수 있게 하기 위해서입니다.
            |{check} {case2:을/를} {topic:과/와} 관련지어 두 문장으로 설명하시오.
            |{check} {topic}의 예와 예가 아닌 것을 하나씩 쓰고 그 까닭을 설명하시오.
            |정리. {topic:은/는} {meaning:이며/며}, {case:이/가} 그 예입니다.
            |주의할 점: {kit2:을/를} 쓸 때에는 서두르지 말고 선생님의 안내를 따릅니다.
            |더 생각해 보기: {topic:이/가} 없다면 우리 생활은 어떻게 달라질지 이야기해 봅시다.
        """),
    ),
)

TEXTBOOK_LANGUAGE = Kind(
    tables=(table("topic meaning word sentence part tip", """
        명사; 사람이나 사물의 이름을 나타내는 낱말; 하늘, 책상, 바다, 우정; 아이가 바다를 그린다; 아이, \
            바다; 뒤에 '을'이나 '를'을 붙여 봅니다
        동사; 움직임을 나타내는 낱말; 달리다, 먹다, 웃다, 자라다; 강아지가 마당에서 달린다; 달린다; \
            '-는다'나 '-ㄴ다'를 붙여 봅니다
        형용사; 성질이나 상태를 나타내는 낱말; 푸르다, 높다, 따뜻하다; 봄볕이 아주 따뜻하다; 따뜻하다; \
            명령하는 말로 바꿀 수 없는지 살펴봅니다
        부사; 주로 동사나 형용사를 꾸며 주는 낱말; 매우, 천천히, 몹시, 잘; 거북이가 천천히 기어간다; 천천히; \
            그 낱말을 빼고 읽어 봅니다
        관형사; 체언 앞에서 그 뜻을 꾸며 주는 낱말; 새, 헌, 온갖, 모든; 언니가 새 가방을 샀다; 새; 조사가 \
            붙지 않는지 살펴봅니다
        대명사; 이름 대신 가리켜 부르는 낱말; 나, 너, 그것, 여기; 여기에 그것을 놓아라; 여기, 그것; 원래 \
            이름으로 바꾸어 봅니다
        수사; 수량이나 차례를 나타내는 낱말; 하나, 둘, 첫째; 사과 하나가 남았다; 하나; 수를 세어 본 다음 \
            찾습니다
        감탄사; 느낌이나 부름이나 대답을 나타내는 낱말; 아, 어머나, 글쎄; 어머나 벌써 꽃이 피었네; 어머나; \
            문장에서 홀로 쓰이는지 살펴봅니다
        주어; 문장에서 동작이나 상태의 주체가 되는 말; 누가, 무엇이; 동생이 종이배를 접었다; 동생이; \
            '누가'에 해당하는 말을 찾습니다
        목적어; 서술어의 동작 대상이 되는 말; 무엇을, 누구를; 할머니께서 배추를 심으셨다; 배추를; '무엇을'에 \
            해당하는 말을 찾습니다
        직유법; '같이'나 '처럼'을 써서 두 대상을 견주는 표현; 솜 같은 구름, 별처럼 빛나는 눈; 아기 볼이 \
            사과처럼 붉다; 사과처럼; 견주는 두 대상의 닮은 점을 찾습니다
        의인법; 사람이 아닌 것을 사람처럼 나타내는 표현; 웃는 해님, 속삭이는 시냇물; 나뭇잎이 손을 흔든다; \
            손을 흔든다; 사람만 할 수 있는 행동을 찾습니다
        높임 표현; 상대나 대상을 높여 이르는 표현; 드시다, 주무시다, 여쭈다; 할아버지께서 진지를 드신다; \
            드신다; 높이는 대상이 누구인지 살펴봅니다
        이어진문장; 둘 이상의 문장이 나란히 이어진 문장; 비가 오고 바람이 분다, 길이 막혀서 늦었다; 해가 \
            지고 달이 떴다; 지고; 문장을 둘로 나누어 봅니다
    """),),
    slots={
        "quote": ("'{word}'",), "line": ("'{sentence}'",), "target": ("'{part}'",),
        "genre": words("동시 이야기_글 일기 편지 설명하는_글 독서_감상문 광고 신문_기사"),
        "act": words("밑줄을_긋고 동그라미를_치고 다른_색으로_칠하고 공책에_옮겨_적고"),
    },
    parts=(
        one("{opening}"),
        one("""
            {meaning:을/를} {topic:이라고/라고} 합니다.
            {topic:은/는} {meaning:을/를} 이릅니다.
        """),
        some(1, 2, """
            {quote:과/와} 같은 말이 {topic}에 해당합니다.
            예를 들어 {quote:은/는} {topic:으로/로} 쓰입니다.
            {kid:은/는} {topic}의 예로 {quote:을/를} 들었습니다.
        """),
        one("""
            |{example} {line:이라는/라는} 문장에서 {topic:을/를} 찾아봅시다.
            |{example} 다음 문장을 소리 내어 읽고 {topic:을/를} 고르시오. {line}
        """),
        one("""
            |{solution} 이 문장에서 {target:이/가} {topic:과/와} 관련됩니다. {topic:을/를} 찾을 때에는 {tip}.
            |{solution} {tip}. 그러면 {target:이/가} {topic:과/와} 관련된 말임을 알 수 있습니다.
        """),
        some(2, 3, """
            |{check} {genre}에서 {topic:을/를} 세 개 찾아 {act}, 어떤 구실을 하는지 쓰시오.
            |{check} {quote:을/를} 넣어 짧은 문장을 두 개 만들어 봅시다.
            |{kid:과/와} {kid2:은/는} {genre} 한 편을 함께 읽으며 {topic:이/가} 쓰인 곳을 찾아 {act} 서로 \
                견주어 보았습니다.
            |{topic:을/를} 알맞게 쓰면 {genre:을/를} 더 또렷하게 쓸 수 있습니다.
            |정리. {topic}의 뜻은 '{meaning}'입니다. {page}쪽의 표를 보며 다시 확인해 봅시다.
        """),
    ),
)

TEXTBOOK_SOCIETY = Kind(
    tables=(table("topic meaning case effect", """
        수요; 어떤 물건을 사려고 하는 마음과 그 양; 더운 날 얼음과자를 찾는 사람이 느는 일, 새 학기에 공책이 \
            많이 팔리는 일; 수요가 늘면 값이 오르기 쉽습니다
        공급; 물건을 팔려고 시장에 내놓는 양; 풍년이 들어 배추가 많이 나오는 일, 공장이 생산을 늘리는 일; \
            공급이 늘면 값이 내리기 쉽습니다
        기회비용; 어떤 것을 고르면서 포기한 것 가운데 가장 큰 가치; 영화를 보느라 운동을 못 하는 일, \
            저축하느라 장난감을 사지 않는 일; 기회비용을 따지면 더 나은 선택을 할 수 있습니다
        분업; 일을 나누어 맡아 하는 방식; 자동차 공장에서 공정을 나누는 일, 모둠에서 역할을 정하는 일; \
            분업을 하면 같은 시간에 더 많이 만들 수 있습니다
        무역; 나라와 나라가 물건이나 서비스를 사고파는 일; 열대 과일을 들여오는 일, 전자 제품을 내보내는 일; \
            무역을 하면 서로 부족한 것을 채울 수 있습니다
        저축; 벌어들인 돈의 일부를 쓰지 않고 모아 두는 일; 용돈을 저금통에 넣는 일, 은행에 예금하는 일; \
            저축은 뜻밖의 일에 대비하게 해 줍니다
        세금; 나라 살림에 쓰려고 국민에게서 걷는 돈; 도로를 고치는 데 쓰는 돈, 소방서를 운영하는 데 쓰는 돈; \
            세금이 없으면 함께 쓰는 시설을 마련하기 어렵습니다
        축척; 실제 거리를 지도에서 줄인 정도; 1km를 1cm로 나타내는 일, 동네 지도를 한 장에 담는 일; 축척을 \
            알면 지도에서 실제 거리를 구할 수 있습니다
        등고선; 지도에서 높이가 같은 곳을 이은 선; 등산 지도에서 봉우리를 찾는 일, 비탈의 가파르기를 읽는 \
            일; 등고선의 간격이 좁을수록 비탈이 가파릅니다
        인구 밀도; 일정한 넓이에 사는 사람 수; 도시의 아파트 단지를 조사하는 일, 섬마을의 인구를 조사하는 \
            일; 인구 밀도가 높으면 교통과 주택 문제가 생기기 쉽습니다
        도시화; 도시에 사는 인구의 비율이 높아지는 현상; 논이 있던 자리에 아파트가 들어서는 일, 새 지하철 \
            노선이 생기는 일; 도시화가 빠르면 농촌의 일손이 모자라게 됩니다
        다수결; 더 많은 사람이 찬성한 쪽으로 정하는 방법; 학급 회의에서 소풍 장소를 정하는 일, 마을 총회에서 \
            투표하는 일; 다수결을 따르더라도 소수의 의견을 귀담아들어야 합니다
        계절풍; 계절에 따라 방향이 바뀌는 바람; 여름에 남동쪽에서 부는 바람, 겨울에 북서쪽에서 부는 바람; \
            계절풍은 농사와 옷차림에 영향을 줍니다
        문화유산; 앞 세대가 남긴 것 가운데 물려줄 가치가 있는 것; 오래된 탑을 보존하는 일, 탈놀이를 이어 \
            가는 일; 문화유산을 통해 조상의 생활 모습을 알 수 있습니다
    """),),
    slots={
        "work": words("신문_기사_찾기 주민_면담 설문_조사 현장_답사 사진_자료_모으기 통계표_읽기"),
        "show": words("그래프 마인드맵 보고서 포스터 역할극 발표_자료"),
        "weeks": range(2, 5), "count": range(3, 9),
    },
    parts=(
        one("{opening}"),
        one("""
            {topic:은/는} {meaning:을/를} 뜻합니다.
            {meaning:을/를} {topic:이라고/라고} 합니다.
            사회 시간에 말하는 {topic:이란/란} {meaning:을/를} 가리킵니다.
        """),
        some(1, 2, """
            {case:을/를} {topic}의 예로 들 수 있습니다.
            우리 생활 속에서 {case:이나/나} {case2:이/가} {topic:과/와} 관련됩니다.
            {kid:은/는} {case:을/를} 보고 {topic:이라는/라는} 말을 떠올렸습니다.
        """),
        one("""
            {effect}.
            따라서 {effect}. 그 까닭을 {kid2:과/와} 함께 이야기해 봅시다.
        """),
        some(3, 4, """
            |활동 {number}. {work:을/를} 하여 {topic:과/와} 관련된 사례를 {count}가지 모으고 {show:으로/로} \
                나타내어 봅시다.
            |{check} {case2:이/가} 왜 {topic}의 예인지 한 문단으로 쓰시오.
            |{kid}네 모둠은 {weeks}주 동안 {work:을/를} 하고, 그 결과를 {show:으로/로} 만들어 발표하였습니다.
            |{kid2:은/는} {topic}에 대하여 조사한 내용을 {show:으로/로} 정리하였습니다.
            |정리. {topic:이란/란} {meaning}입니다.
            |더 알아보기: {topic:과/와} 관련된 낱말을 {count}개 찾아 뜻을 적고 짝에게 설명해 봅시다.
            |자료를 읽을 때에는 언제 누가 만든 것인지 먼저 확인합니다.
        """),
    ),
)

TEXTBOOK_KINDS = (
    TEXTBOOK_SUM, TEXTBOOK_SHARE, TEXTBOOK_AREA, TEXTBOOK_MEAN, TEXTBOOK_PERCENT, TEXTBOOK_SPEED,
    TEXTBOOK_EQUATION, TEXTBOOK_SEQUENCE, TEXTBOOK_DIVISOR, TEXTBOOK_CHANCE, TEXTBOOK_TIME,
    TEXTBOOK_SCIENCE, TEXTBOOK_SCIENCE, TEXTBOOK_SCIENCE,  # the kinds that explain more and count less
    TEXTBOOK_LANGUAGE, TEXTBOOK_LANGUAGE, TEXTBOOK_SOCIETY, TEXTBOOK_SOCIETY,
)


# ---------------------------------------------------------------------------------------------------------
# assembly: minutes of a national assembly's committees and plenary sittings

ASSEMBLY_SLOTS = {
    "surname": words("강 고 공 구 권 금 길 김 나 남 노 도 류 마 맹 명 문 민 박 반 방 배 백 변 봉 서 석 선 "
                     "설 성 소 손 송 신 심 안 양 엄 여 연 염 오 옥 우 원 유 육 윤 은 이 임 장 전 정 제 조 "
                     "주 지 진 차 채 천 최 추 편 표 하 한 함 허 현 홍 황"),
    "name": ("{~surname}○○",),
    "chair": ("○위원장 {name1}",),
    "asker": ("○{name2} 위원",),
    "backer": ("○{name3} 위원",),
    "minister": ("○{ministry}장관 {name4}",),
    "expert": ("○수석전문위원 {name5}",),
    "speaker": ("○의장 {name6}",),
    "vice": ("○{ministry}차관 {name7}",),
    "session": range(301, 430),
    "sitting": range(1, 14),
    "item": range(1, 48),
    "year": range(2, 8),
    "minute": range(1, 60),
    "hour": range(10, 20),
    "region": words("강변 산간 도서 내륙 접경 해안 농어촌 신도시 구도심 공업 온천 분지 광산 고원"),
    "tone": words("정확히 구체적으로 서면으로 분명하게 책임_있게 상세히 조속히"),
    "thanks": lines("""
        위원님 지적에 전적으로 공감합니다.
        좋은 지적 감사합니다.
        위원님께서 우려하시는 바를 잘 알고 있습니다.
        그 점은 저희가 미흡했습니다.
        말씀 주신 취지를 충분히 이해하고 있습니다.
        현장의 목소리를 무겁게 받아들이고 있습니다.
    """),
    "pledge": lines("""
        관계 부처와 협의하여 조속히 대책을 마련하겠습니다.
        {months}개월 안에 개선 방안을 보고드리겠습니다.
        실태 조사를 거쳐 위원회에 자료를 제출하겠습니다.
        시범 사업부터 추진한 뒤 단계적으로 확대하겠습니다.
        하위 법령을 정비할 때 위원님 의견을 반영하겠습니다.
        예산 당국과 적극적으로 협의해 나가겠습니다.
        전담 인력을 배치하여 차질이 없도록 하겠습니다.
    """),
    "months": range(2, 10),
    "demand": lines("""
        이 부분을 {tone} 답변해 주시기 바랍니다.
        담당자를 지정해서 {tone} 챙겨 주십시오.
        관련 자료를 {tone} 제출해 주시기 바랍니다.
        다음 회의 전까지 {tone} 보고해 주십시오.
        말로만 검토하지 마시고 {tone} 이행해 주십시오.
    """),
    "silence": ("(「없습니다」 하는 위원 있음)", "(「이의 없습니다」 하는 위원 있음)"),
    "open": lines("""
        의석을 정돈해 주시기 바랍니다. 성원이 되었으므로 제{session}회 {committee} 제{sitting}차 회의를 \
            개의하겠습니다.
        성원이 되었으므로 {committee} 제{sitting}차 전체회의를 개의하겠습니다. 바쁘신 가운데 참석해 주신 \
            위원님 여러분께 감사드립니다.
        회의를 속개하겠습니다. 오전에 이어 {committee} 소관 안건을 심사하겠습니다.
    """),
    "close": lines("""
        더 이상 질의하실 위원님이 안 계시므로 질의를 종결하겠습니다. 산회를 선포합니다.|({hour}시{minute}분 \
            산회)
        위원님 여러분, 수고 많으셨습니다. 오늘 회의는 이것으로 마치겠습니다. 산회를 \
            선포합니다.|({hour}시{minute}분 산회)
        원만한 회의 진행을 위하여 잠시 정회하고자 합니다. 정회를 선포합니다.|({hour}시{minute}분 회의중지)
    """),
}

ASSEMBLY_LAWS = table("law committee ministry folk gap aim measure figure", """
    농어촌도로 정비법; 국토정비위원회; 국토정비부; 농어촌 주민; 보행로가 없는 마을 진입로; 통행 안전을 \
        높이려는 것; 정비 계획을 5년마다 세우도록; 보행자 사고, 미정비 구간
    산림재해 예방법; 농수산위원회; 농수산지원부; 산촌 주민; 관리 주체가 불분명한 비탈면; 산사태 피해를 \
        줄이려는 것; 위험 지역을 미리 지정하도록; 산사태 발생, 복구 지연
    공공도서관 진흥법; 문화진흥위원회; 문화진흥부; 도서관 이용자; 사서가 한 명도 없는 작은 도서관; 독서 \
        환경의 격차를 줄이려는 것; 사서 배치 기준을 두도록; 잦은 휴관, 사서 결원
    돌봄종사자 처우법; 보건돌봄위원회; 보건돌봄부; 돌봄 종사자; 휴게 시간이 보장되지 않는 근무 형태; \
        종사자의 처우를 개선하려는 것; 대체 인력을 지원하도록; 이직, 초과 근무
    하천수질 보전법; 환경보전위원회; 환경보전부; 하류 지역 주민; 관리 대상에서 빠진 소규모 배출 시설; \
        상수원을 안전하게 지키려는 것; 배출 시설을 등록하도록; 수질 기준 초과, 무단 방류
    해양쓰레기 관리법; 해양자원위원회; 해양자원부; 어업인; 수거 책임이 정해지지 않은 섬 지역; 바다 환경을 \
        되살리려는 것; 어구에 실명을 표시하도록; 폐어구 유실, 선박 사고
    기초과학 연구진흥법; 과학기술위원회; 기초과학부; 신진 연구자; 연구비 지원이 끊기는 공백 기간; 장기 \
        연구를 뒷받침하려는 것; 10년 단위 과제를 두도록; 과제 중단, 연구 인력 이탈
    통학버스 안전법; 교육지원위원회; 교육지원부; 통학생; 동승 보호자가 없는 통학 차량; 어린이의 통학 안전을 \
        지키려는 것; 차량 점검 결과를 공개하도록; 통학로 사고, 점검 누락
    전통시장 지원법; 산업통상위원회; 산업지원부; 시장 상인; 화재 보험에 들지 못한 점포; 상인의 생업을 \
        보호하려는 것; 공제 제도를 운영하도록; 점포 화재, 보험 미가입
    소방장비 관리법; 행정안전위원회; 생활안전부; 소방 대원; 내용연수를 넘긴 소방 장비; 대원의 안전을 \
        확보하려는 것; 장비 교체 주기를 정하도록; 노후 장비, 출동 지연
    개인정보 보호관리법; 디지털행정위원회; 디지털행정부; 정보 주체; 동의 없이 보관되는 영상 기록; 정보 \
        주체의 권리를 두텁게 보호하려는 것; 보관 기간을 제한하도록; 유출 신고, 삭제 요청 거부
    장애인 이동편의법; 보건돌봄위원회; 보건돌봄부; 교통 약자; 승강기가 없는 역사; 이동권을 실질적으로 \
        보장하려는 것; 시설 기준을 강화하도록; 시설 미설치, 배차 지연
    농산물 유통법; 농수산위원회; 농수산지원부; 생산 농가; 거래 단계마다 달라지는 가격 정보; 유통 비용을 \
        줄이려는 것; 거래 가격을 공시하도록; 산지 폐기, 가격 급락
    청년창업 촉진법; 산업통상위원회; 산업지원부; 청년 창업자; 초기 기업이 이용할 수 없는 보증 제도; 창업의 \
        문턱을 낮추려는 것; 보증 심사를 간소화하도록; 폐업, 보증 거절
    재생에너지 보급법; 에너지위원회; 에너지부; 발전 사업자; 계통 연결을 기다리는 발전소; 에너지 전환을 \
        앞당기려는 것; 접속 대기 현황을 공개하도록; 출력 제한, 접속 지연
    문화재 수리법; 문화진흥위원회; 문화진흥부; 수리 기능인; 설계도 없이 진행되는 수리 현장; 문화재의 원형을 \
        지키려는 것; 수리 기록을 의무화하도록; 부실 수리, 기능인 감소
""")

ASSEMBLY_BILL = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "bill": ("{law} 일부개정법률안", "{law} 전부개정법률안", "{law}안"),
        "growth": range(4, 48), "after": words("3개월 6개월 1년 2년"),
        "article": range(3, 62), "view": words("타당한 필요한 바람직한 시의적절한 의미_있는"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {bill:을/를} 상정합니다. {name2} 위원님 나오셔서 제안설명해 주시기 바랍니다.
            의사일정 제{item}항, {name2} 위원이 대표발의한 {bill:을/를} 상정합니다. 제안설명을 듣겠습니다.
        """),
        one("""
            |{asker} 존경하는 위원장님, 그리고 선배·동료 위원 여러분! {name2} 위원입니다. {bill}의 \
                제안이유를 말씀드리겠습니다. 현재 {gap} 때문에 {folk:이/가} 불편을 겪고 있습니다. 이에 \
                {measure} 하여 {aim}입니다.
            |{asker} {bill:은/는} {aim}입니다. {gap:을/를} 그대로 두어서는 안 되기에 {measure} \
                규정하였습니다. 아무쪼록 원안대로 의결해 주시기 바랍니다.
            |{asker} 최근 {year}년간 {figure} 사례가 {growth}% 늘었습니다. {gap:이/가} 원인으로 지목되고 \
                있어, {measure} 하는 {bill:을/를} 제안하게 되었습니다.
        """),
        one("""
            |{expert} 검토보고를 드리겠습니다. 개정안 제{article}조는 {measure} 하는 것으로, {folk:을/를} \
                보호한다는 점에서 {view} 입법으로 보입니다. 다만 시행일은 공포 후 {after:으로/로} 조정할 \
                필요가 있습니다.
            |{expert} {bill}에 대한 검토의견입니다. {aim:이라는/라는} 취지는 {view} 것으로 보이나, 재정 \
                부담에 관하여 {ministry}의 의견을 들을 필요가 있습니다.
        """),
        some(1, 2, """
            |{backer} {name3} 위원입니다. {gap}에 대하여 {ministry:은/는} 실태를 파악하고 있습니까? \
                {~demand} |{minister} {~thanks} {~pledge}
            |{backer} 장관께 묻겠습니다. {measure} 하면 {region} 지역의 {folk:은/는} 어떤 도움을 받습니까? \
                |{minister} {region} 지역을 우선 지원할 계획입니다. {~pledge}
        """),
        one("""
            |{chair} 다른 의견 없으십니까? |{silence} |{bill:은/는} 원안대로 의결하고자 하는데 이의 \
                없으십니까? |{silence} |가결되었음을 선포합니다.
            |{chair} 토론을 종결하고 의결하도록 하겠습니다. 제{article}조의 시행일을 공포 후 {after:으로/로} \
                수정한 부분은 수정안대로, 나머지는 원안대로 의결하고자 합니다. 이의 없으십니까? |{silence} \
                |가결되었음을 선포합니다.
            |{chair} {bill:은/는} 보다 깊이 있는 심사를 위하여 법안심사소위원회에 회부하겠습니다. 이의 \
                없으시지요? |{silence}
        """),
    ),
)

ASSEMBLY_BUDGET = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "base": range(24, 640), "added": range(3, 90), "planned": total("base", "added"),
        "spent": range(41, 96), "left": lambda value: 100 - value("spent"),
        "place": range(12, 240),
        "program": words("실태_조사 시설_개선 인력_양성 상담_창구_운영 정보_시스템_구축 안전_점검 "
                         "장비_교체 지역_거점_조성"),
        "reason": words("사업자_선정이_늦어진 부지_확보가_지연된 지방비_매칭이_이루어지지_않은 "
                        "설계_변경이_있었던 수요_조사가_부실했던"),
        "project": ("{folk} {program} 사업",),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {ministry} 소관 예산안을 상정합니다. {ministry}차관 나오셔서 제안설명해 \
                주시기 바랍니다.
            {ministry} 소관 세입세출예산안에 대한 대체토론에 들어가겠습니다. 먼저 차관의 설명을 듣겠습니다.
        """),
        one("""
            |{vice} {ministry}차관 {name7}입니다. {project}에는 올해 {base}억 원보다 {added}억 원 증액한 \
                {planned}억 원을 편성하였습니다. {aim:으로/로} 이해해 주시면 감사하겠습니다.
            |{vice} 보고드리겠습니다. {project:은/는} {base}억 원에서 {added}억 원을 늘려 모두 {planned}억 \
                원을 요구하였습니다. {gap:으로/로} 인한 문제를 해결하는 데 쓰겠습니다.
        """),
        some(2, 3, """
            |{asker} {name2} 위원입니다. {project}의 집행률이 {spent}%에 그쳤습니다. 나머지 {left}%는 왜 \
                쓰지 못했습니까? |{vice} {reason} 탓입니다. {~pledge}
            |{backer} {planned}억 원으로 {place}개소를 지원한다고 하셨는데, {region} 지역은 몇 곳이나 \
                포함됩니까? |{vice} {region} 지역을 우선 반영하겠습니다. 명단은 정리하는 대로 \
                제출하겠습니다.
            |{asker} {added}억 원을 증액한 산출 근거가 부족합니다. {~demand}|{vice} {~thanks} {~pledge}
            |{backer} {figure} 문제가 {year}년째 되풀이되고 있습니다. {project}만으로 해결이 \
                되겠습니까?|{vice} {~thanks} {~pledge}
        """),
        one("""
            |{chair} {project:은/는} 예산안심사소위원회에서 다시 논의하도록 하겠습니다. {close}
            |{chair} 위원님들 의견을 종합하여 {project}에는 {planned}억 원을 그대로 반영하되, 집행 상황을 \
                분기마다 보고받는 것으로 하겠습니다. 이의 없으십니까? |{silence}
        """),
    ),
)

ASSEMBLY_PLENARY = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "bill": ("{law} 일부개정법률안(대안)", "{law} 일부개정법률안", "{law} 전부개정법률안(대안)"),
        "yes": range(131, 262), "no": range(0, 31), "abstain": range(0, 19),
        "present": total("yes", "no", "abstain"),
        "count": range(2, 9), "reporter": ("○{committee}위원장대리 {name2}",), "debater": ("○{name3} 의원",),
    },
    parts=(
        one("""
            {speaker} 의석을 정리해 주시기 바랍니다. 성원이 되었으므로 본회의를 개의하겠습니다. 보고사항은 \
                회의록에 게재하겠습니다.
            {speaker} 성원이 되었으므로 제{session}회 국회 제{sitting}차 본회의를 개의하겠습니다.
            {speaker} 회의를 속개하겠습니다. 의사일정에 따라 안건을 처리하겠습니다.
        """),
        one("""
            |{speaker} 의사일정 제{item}항 {bill:을/를} 상정합니다. {committee}의 {name2} 의원 나오셔서 \
                심사보고해 주시기 바랍니다.
            |{speaker} 다음은 의사일정 제{item}항, {committee:이/가} 제출한 {bill:을/를} 상정합니다. \
                심사보고를 듣겠습니다.
        """),
        one("""
            |{reporter} 존경하는 의장님, 그리고 동료 의원 여러분! {committee}에서 심사한 {bill}의 심사결과를 \
                보고드리겠습니다. 이 법안은 {measure} 하여 {aim:으로/로}, 법률안 {count}건을 통합하여 위원회 \
                대안을 마련한 것입니다.
            |{reporter} {bill}에 대한 심사결과를 말씀드리면, {gap:으로/로} 인한 문제를 해소하기 위하여 \
                {measure} 하였습니다. 자세한 내용은 단말기의 회의자료를 참조해 주시고, 우리 위원회가 제안한 \
                대로 의결해 주시기 바랍니다.
        """),
        maybe("""
            |{speaker} 토론 신청이 있으므로 {name3} 의원의 토론을 듣겠습니다. |{debater} 본 의원은 \
                {folk:을/를} 위하여 이 법안에 찬성합니다. {region} 지역에서 {figure} 문제를 직접 보았기 \
                때문입니다. 의원 여러분의 동참을 호소드립니다.
            |{debater} 의사진행발언입니다. {bill:은/는} {region} 지역의 사정을 더 살펴야 합니다. {measure} \
                하더라도 준비 기간이 충분해야 한다는 점을 말씀드립니다.
        """),
        one("""
            |{speaker} 그러면 의사일정 제{item}항을 의결하겠습니다. 투표해 주시기 바랍니다. |(전자투표) \
                |투표를 마치겠습니다. 투표 결과를 말씀드리겠습니다. 재석 {present}인 중 찬성 {yes}인, 반대 \
                {no}인, 기권 {abstain}인으로서 {bill:은/는} 가결되었음을 선포합니다.
            |{speaker} 더 토론하실 의원이 안 계시므로 표결하겠습니다. |(전자투표) |재석 {present}인 중 찬성 \
                {yes}인, 반대 {no}인, 기권 {abstain}인으로서 의사일정 제{item}항은 가결되었음을 선포합니다.
        """),
        maybe("""
            |(투표 의원 성명은 끝에 실음)
            |{speaker} 의원 여러분, 수고하셨습니다. 산회를 선포합니다. |({hour}시{minute}분 산회)
            |{speaker} 다음 본회의는 의사일정이 협의되는 대로 알려 드리겠습니다. 산회를 선포합니다. \
                |({hour}시{minute}분 산회)
        """),
    ),
)

ASSEMBLY_QUESTION = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "cases": range(24, 980), "growth": range(4, 66), "checked": range(11, 88), "minutes": range(5, 16),
        "visit": words("지난주 지난달 어제 국정감사_기간에 휴회_기간에"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            오늘은 {ministry:을/를} 상대로 현안질의를 하겠습니다. 질의 순서에 따라 {name2} 위원님 질의해 \
                주시기 바랍니다.
            {ministry} 소관 업무보고에 이어 질의를 진행하겠습니다. 질의시간은 답변을 포함하여 \
                {minutes}분입니다. {name2} 위원님 질의하십시오.
        """),
        one("""
            |{asker} 장관님, {visit} {region} 지역을 다녀왔습니다. {gap:이/가} 그대로 방치되어 있더군요. \
                알고 계십니까? |{minister} 예, 보고를 받았습니다. {~thanks}
            |{asker} 자료 화면을 봐 주십시오. {figure} 사례가 지난해에만 {cases}건입니다. {growth}%나 \
                늘었어요. 원인이 무엇입니까? |{minister} {gap:을/를} 주된 원인으로 파악하고 있습니다.
        """),
        some(2, 3, """
            |{asker} 그러면 점검은 했습니까?|{minister} 전체의 {checked}%를 점검하였고 나머지는 올해 안에 \
                마치겠습니다.
            |{asker} {folk:은/는} 하루가 급합니다. {~demand}|{minister} {~pledge}
            |{asker} {law:을/를} 개정해서라도 {measure} 해야 하지 않겠습니까?|{minister} 입법 취지에 \
                동의합니다. {~pledge}
            |{asker} 매번 같은 답변입니다. {year}년 전에도 검토하겠다고 하셨습니다.|{minister} 송구스럽게 \
                생각합니다. {~pledge}
            |{backer} 보충질의하겠습니다. {region} 지역 {folk:과/와} 간담회를 열 의향이 있습니까?|{minister} \
                일정을 잡아 직접 찾아뵙겠습니다.
            |{backer} 의사진행발언입니다. {ministry:이/가} 제출한 {figure} 관련 자료가 사실과 다릅니다. \
                {~demand}|{minister} 확인하여 바로잡겠습니다.
        """),
        one("""
            |{chair} {name2} 위원님 수고하셨습니다. {ministry:은/는} 요구 자료를 빠짐없이 제출해 주시기 \
                바랍니다. {close}
            |{chair} 장관께서는 {folk}의 어려움을 헤아려 후속 조치에 만전을 기해 주시기 바랍니다. {close}
        """),
    ),
)

ASSEMBLY_SPEECH = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "orator": ("○{name2} 의원",), "cases": range(30, 890),
        "letter": words("편지_한_통 서명부 호소문 민원서 사진_한_장 손글씨_쪽지"),
        "call": words("간곡히 거듭 다시_한번 강력히 정중히"),
    },
    parts=(
        one("""
            {speaker} 다음은 5분자유발언을 듣도록 하겠습니다. {name2} 의원 나오셔서 발언해 주시기 바랍니다.
            {speaker} 안건 심의에 앞서 {name2} 의원의 5분자유발언이 있겠습니다.
        """),
        one("""
            |{orator} 존경하는 국민 여러분, 의장님과 선배·동료 의원 여러분! {committee} 소속 {name2} \
                의원입니다.
            |{orator} 발언 기회를 주신 의장님께 감사드립니다. {name2} 의원입니다.
        """),
        some(4, 6, """
            저는 오늘 {region} 지역 {folk:이/가} 겪는 어려움을 말씀드리고자 이 자리에 섰습니다.
            얼마 전 {folk:으로/로}부터 {letter:을/를} 받았습니다. {gap:을/를} 하루빨리 살펴 달라는 \
                내용이었습니다.
            지난해 {figure} 문제로 접수된 민원만 {cases}건에 이릅니다.
            그런데도 {ministry:은/는} {year}년이 지나도록 검토 중이라는 말만 되풀이하고 있습니다.
            {law:을/를} 고쳐 {measure} 해야 합니다.
            이는 특정 지역의 문제가 아니라 우리 모두의 문제입니다.
            {gap:을/를} 방치하는 한 {figure} 문제는 해결되지 않습니다.
            정부는 {region} 지역부터 실태를 조사해야 합니다.
            예산이 없다는 말은 더 이상 이유가 될 수 없습니다.
            {region} 지역에서 만난 {folk:은/는} 저에게 {letter:을/를} 건네며 눈물을 보였습니다.
            {gap} 문제는 어제오늘의 일이 아닙니다.
        """),
        one("""
            {ministry}에 {call} 촉구합니다. {folk:을/를} 위하여 {measure} 제도를 바꾸어 주십시오. 경청해 \
                주셔서 감사합니다.
            동료 의원 여러분께 {call} 호소드립니다. {law} 개정에 힘을 모아 주십시오. 감사합니다.
        """),
        one("""
            |{speaker} {name2} 의원 수고하셨습니다. 이상으로 5분자유발언을 마치겠습니다.
            |{speaker} 수고하셨습니다. {ministry:은/는} {name2} 의원의 발언 내용을 검토하여 주시기 바랍니다.
        """),
    ),
)

ASSEMBLY_HEARING = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "witness": ("○진술인 {name8}",), "other": ("○진술인 {name9}",),
        "post": words("연구원_선임연구위원 협회_사무국장 대학교_교수 연합회_정책위원 조합_이사 "
                      "재단_연구실장"),
        "minutes": range(5, 16), "rate": range(51, 94),
        "stand": words("찬성하는 조건부로_찬성하는 신중해야_한다는 보완이_필요하다는"),
        "worry": words("비용_부담 준비_부족 현장의_혼란 인력_부족 형평성_문제 중복_규제"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {law} 개정에 관한 공청회를 상정합니다. 진술 시간은 {minutes}분 이내로 해 \
                주시기 바랍니다. {name8} 진술인 진술해 주시기 바랍니다.
            오늘 공청회는 {law} 개정에 관한 각계 의견을 듣기 위한 것입니다. 진술인 여러분께 감사드리며 \
                {name8} 진술인부터 진술하시겠습니다.
        """),
        one("""
            |{witness} {folk} {post} {name8}입니다. 저는 {law} 개정에 {stand} 입장입니다. {measure} 하는 \
                것은 {aim:이라고/라고} 보기 때문입니다.
            |{witness} {post} {name8}입니다. 조사에 따르면 {folk}의 {rate}%가 개정이 필요하다고 답했습니다. \
                {gap:이/가} 가장 큰 이유였습니다.
        """),
        one("""
            |{other} {name9}입니다. {worry:을/를} 먼저 살펴야 합니다. {measure} 하더라도 {region} 지역은 \
                유예 기간이 필요합니다.
            |{other} 저는 {worry:을/를} 말씀드리겠습니다. {law}의 취지에는 공감하지만 {worry:이/가} 해소되지 \
                않으면 {folk:이/가} 오히려 불편해질 수 있습니다.
        """),
        maybe("""
            |{chair} 그러면 위원님들 질의하시겠습니다.
            |{chair} 질의하실 위원님께서는 발언 신청을 해 주시기 바랍니다. 답변은 짧게 해 주십시오.
        """),
        some(1, 2, """
            |{asker} {name9} 진술인께 여쭙겠습니다. {worry:을/를} 줄일 방안이 있습니까?|{other} 단계적으로 \
                시행하면 {worry:을/를} 크게 줄일 수 있다고 봅니다.
            |{backer} {name8} 진술인, {figure} 통계를 더 설명해 주시겠습니까?|{witness} {figure} 사례의 \
                {rate}%가 {region} 지역에서 나왔습니다. 자료를 서면으로 제출하겠습니다.
            |{asker} 외국의 사례도 있습니까?|{witness} 비슷한 제도를 {year}년째 운영하는 나라가 있습니다. \
                {folk}의 만족도가 높다고 합니다.
        """),
        one("""
            |{chair} 진술인 여러분, 유익한 말씀 감사합니다. 오늘 의견은 {law}의 심사에 참고하겠습니다. \
                이상으로 공청회를 마치겠습니다.
            |{chair} {name8}, {name9} 두 분 진술인 수고하셨습니다. {close}
        """),
    ),
)

ASSEMBLY_PETITION = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "signers": range(50200, 98000, 7), "petitioner": ("청원인 {name8}",), "sponsor": ("○{name2} 위원",),
        "petition": lines("""
            {law} 개정에 관한 청원
            {folk} 보호 대책 마련에 관한 청원
            {figure} 문제 해결을 위한 청원
        """),
        "period": words("30일 60일 90일"),
        "choice": words("본회의에_부의하기로 계속_심사하기로 정부로_이송하기로"),
        "sub": ("○청원심사소위원장 {name3}",),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {petition:을/를} 상정합니다. 소개하신 {name2} 위원님 취지를 설명해 주시기 \
                바랍니다.
            의사일정 제{item}항, 국민 {signers}인의 동의로 접수된 {petition:을/를} 상정합니다. 청원의 취지는 \
                {name2} 위원님이 설명하시겠습니다.
        """),
        one("""
            |{sponsor} {petition:은/는} {petitioner:이/가} 제출한 것으로, {signers}인이 동의하였습니다. \
                {gap:으로/로} 인하여 {folk:이/가} 어려움을 겪고 있으니 {measure} 해 달라는 내용입니다.
            |{sponsor} {petitioner:은/는} {region} 지역에서 {figure} 문제를 겪은 분입니다. {measure} 법을 \
                고쳐 달라는 것이 청원의 요지입니다.
        """),
        one("""
            |{sub} 심사결과를 보고드립니다. 소위원회는 {petition}의 취지가 타당하다고 보아 {choice} \
                하였습니다.
            |{sub} {petition}에 대하여 {ministry}의 의견을 들은 결과, {period}의 추가 검토가 필요하다는 데 \
                의견을 모았습니다.
        """),
        some(1, 2, """
            |{chair} {ministry} 의견을 말씀해 주십시오.|{vice} {~thanks} {~pledge}
            |{sponsor} {signers}인의 뜻이 담긴 청원입니다. {~demand}|{vice} {~pledge}
            |{backer} {petitioner}의 의견을 직접 들을 기회가 있어야 합니다.|{chair} 간사 위원님들과 \
                협의하겠습니다.
        """),
        one("""
            |{chair} {petition:은/는} 소위원회에서 심사보고한 대로 의결하고자 하는데 이의 없으십니까? \
                |{silence} |가결되었음을 선포합니다.
            |{chair} {petition:은/는} 심사기간을 {period} 연장하는 것으로 하겠습니다. 이의 없으십니까? \
                |{silence} |{close}
        """),
    ),
)

ASSEMBLY_KINDS = (ASSEMBLY_BILL, ASSEMBLY_BUDGET, ASSEMBLY_PLENARY, ASSEMBLY_QUESTION, ASSEMBLY_SPEECH,
                  ASSEMBLY_HEARING, ASSEMBLY_PETITION)


# ---------------------------------------------------------------------------------------------------------
# web: reviews, how-to posts, questions with answers, classified ads

WEB_SLOTS = {
    "days": range(2, 30),
    "weeks": range(2, 13),
    "stars": words("★★★☆☆ ★★★★☆ ★★★★★"),
    "score": words("3.5 4.0 4.5 4.8 3.8 4.2"),
    "hello": lines("""
        안녕하세요, 오늘도 들러 주셔서 감사해요.
        오랜만에 글 남겨요.
        미루고 미루던 후기를 드디어 써 봐요.
        검색해도 잘 안 나와서 제가 직접 정리해 봤어요.
        눈팅만 하다가 처음으로 글을 올려요.
        주말에 시간이 나서 간단히 적어 볼게요.
        저처럼 고민하시는 분들 계실 것 같아 공유해요.
        질문이 많아서 한 번에 모아 답해 드릴게요.
    """),
    "bye": lines("""
        도움이 되셨다면 공감 한 번 눌러 주세요!
        궁금한 점은 댓글로 남겨 주시면 아는 만큼 답해 드릴게요.
        내돈내산 솔직 후기였어요.
        다음에는 더 자세한 사진으로 돌아올게요.
        이상 개인적인 의견이니 참고만 해 주세요~
        더 좋은 방법 아시는 분은 꼭 알려 주세요.
        긴 글 읽어 주셔서 감사합니다 :)
        그럼 다음 글에서 만나요!
        광고 아니고 제가 직접 겪은 이야기예요.
        업데이트할 내용이 생기면 본문에 추가할게요.
    """),
    "note": words("참고로 그리고 아 그런데 다만 솔직히 개인적으로는 덧붙이자면 의외로"),
    "degree": words("정말 꽤 생각보다 은근히 확실히 무척 아주"),
    "tagword": words("#후기 #일상 #추천 #꿀팁 #기록 #내돈내산 #정보공유 #초보"),
    "member": words("초보집사 느긋한곰 새벽커피 동네산책 민트우산 감자전 고요한방 달리는거북 종이비행기 "
                    "보리차한잔 햇살창가 구름빵집 연필깎이 파란자전거 말랑이 도시농부 주말목수 라디오팬"),
}

WEB_REVIEW = Kind(
    tables=(table("item feature plus minus use", """
        무선 키보드; 키감, 배터리, 무게; 소리가 조용해서 밤에도 쓰기 좋아요, 건전지 하나로 반년은 버텨요; \
            방향키가 작아서 적응이 필요해요; 재택근무
        가습기; 분무량, 소음, 물통 용량; 아침까지 물이 남아 있어요, 자는 동안 거의 소리가 안 나요; 물때가 \
            빨리 껴서 자주 닦아야 해요; 겨울철 침실
        캠핑 의자; 착석감, 접이 방식, 수납 주머니; 혼자서도 금방 펼쳐요, 오래 앉아도 허리가 편해요; 모래 \
            위에서는 살짝 기울어요; 차박
        전기 포트; 끓는 속도, 보온, 세척; 2분이면 물이 끓어요, 주둥이가 가늘어서 커피 내리기 좋아요; 뚜껑이 \
            조금 뻑뻑해요; 홈카페
        로봇 청소기; 흡입력, 지도 기능, 먼지통; 문턱을 잘 넘어요, 앱으로 구역을 나눌 수 있어요; 전선에 가끔 \
            걸려요; 맞벌이 살림
        러닝화; 쿠션, 통풍, 발볼; 오래 뛰어도 무릎이 편해요, 발볼이 넓어서 안 조여요; 흰색이라 때가 잘 타요; \
            아침 달리기
        블루투스 이어폰; 음질, 통화 품질, 착용감; 귀가 아프지 않아요, 통화할 때 주변 소리를 잘 걸러 줘요; \
            케이스에 지문이 잘 남아요; 출퇴근길
        에어프라이어; 용량, 온도 조절, 소음; 만두가 바삭하게 구워져요, 기름 튈 일이 없어요; 처음 며칠은 \
            냄새가 나요; 자취 요리
        독서대; 각도 조절, 집게 힘, 휴대성; 두꺼운 책도 안 넘어져요, 목이 한결 편해졌어요; 집게가 종이에 \
            자국을 남겨요; 시험공부
        텀블러; 보온력, 뚜껑, 입구 크기; 얼음이 저녁까지 남아 있어요, 가방에 눕혀도 안 새요; 손잡이가 없어서 \
            미끄러워요; 사무실
        메모리폼 베개; 높이, 커버, 복원력; 자고 일어나면 목이 가벼워요, 커버만 벗겨 빨 수 있어요; 여름에는 \
            조금 더워요; 숙면
        공기 청정기; 필터, 소음, 크기; 요리할 때 냄새가 금방 빠져요, 수면 모드가 조용해요; 필터값이 만만치 \
            않아요; 원룸
        자전거 헬멧; 통풍, 무게, 조절 끈; 오래 써도 머리가 안 눌려요, 바람이 잘 통해요; 턱끈이 조금 짧아요; \
            자출
        스탠드 조명; 밝기, 색온도, 받침대; 눈이 덜 피로해요, 밝기를 열 단계로 바꿀 수 있어요; 스위치가 \
            뒤쪽에 있어서 불편해요; 책상 꾸미기
        주방 저울; 정확도, 화면, 두께; 1g 단위로 딱 맞아요, 서랍에 쏙 들어가요; 불이 금방 꺼져서 다시 켜야 \
            해요; 베이킹
        등산 배낭; 어깨끈, 수납공간, 방수; 등에 땀이 덜 차요, 물통을 옆에서 바로 꺼낼 수 있어요; 지퍼가 조금 \
            뻣뻣해요; 당일 산행
        핸드크림; 향, 흡수력, 용량; 끈적임이 없어요, 향이 은은하게 오래가요; 튜브 끝이 잘 안 짜져요; 건조한 \
            사무실
        휴대용 선풍기; 바람 세기, 배터리, 소음; 목에 걸 수 있어요, 한 번 충전하면 하루 종일 써요; 강풍으로 \
            하면 시끄러워요; 여름 외출
    """),),
    slots={
        "price": range(7900, 159000, 500), "ship": range(1, 6),
        "colour": words("베이지 네이비 화이트 올리브 그레이 민트 차콜"),
        "buyer": words("동생 어머니 친구 룸메이트 회사_동료 아버지"),
        "shop": words("공식_몰 중고_앱 동네_매장 해외_직구 공동_구매 할인_행사"),
    },
    parts=(
        one("""
            [후기] {item} {weeks}주 사용기|{hello}
            {item} {days}일 써 본 솔직 후기|{hello}
            {use}용으로 산 {item} 리뷰예요.|{hello}
            제목: {item}, 살까 말까 고민하시는 분들께|{hello}
        """),
        one("""
            |{shop}에서 {price}원에 샀고 배송은 {ship}일 걸렸어요.
            |가격은 {price}원, 색상은 {colour:으로/로} 골랐어요. {use} 때문에 알아보다가 결정했어요.
            |원래 쓰던 게 고장 나서 {price}원 주고 새로 들였어요. {shop:을/를} 이용했어요.
        """),
        some(4, 7, """
            |{~note} {feature} 쪽이 {~degree} 마음에 들었어요. {plus}.
            |장점: {plus}. {plus2}.
            |단점: {minus}.
            |{feature:은/는} 5점 만점에 {score}점 드릴게요.
            |{use:을/를} 생각하신다면 {feature}부터 따져 보세요.
            |{weeks}주쯤 써 보니 {feature2:은/는} 무난하고 {feature:이/가} {~degree} 괜찮네요.
            |{buyer:이/가} 보더니 어디서 샀냐고 물어봐서 링크 보내 줬어요.
            |{minus}. 그래도 {price}원이면 만족해요.
            |색상은 {colour:이/가} 화면보다 실물이 더 예뻐요.
        """),
        one("""
            |총점 {stars}, 재구매 의사 있어요!
            |한 줄 요약: {use}용 {item} 찾으시면 추천해요. {stars}
            |{item:은/는} {buyer} 선물로도 {~degree} 괜찮을 것 같아요.
        """),
        one("|{bye}"),
        maybe("|{tagword} {tagword2} {tagword3}"),
    ),
)

WEB_SHOP = Kind(
    tables=(table("sort menu taste side mood", """
        카페; 흑임자 라테, 당근 케이크, 콜드브루, 쑥 스콘; 고소하고 달지 않아요, 뒷맛이 깔끔해요; 작은 쿠키; \
            창가 자리, 노트북 자리, 테라스
        국숫집; 들깨 칼국수, 비빔국수, 잔치국수; 국물이 진하고 면이 쫄깃해요, 양념이 맵지 않고 새콤해요; \
            겉절이; 바 자리, 좌식 자리, 안쪽 방
        빵집; 소금빵, 무화과 호밀빵, 단팥빵, 바게트; 겉은 바삭하고 속은 촉촉해요, 버터 향이 진해요; 시식 빵; \
            진열대 앞, 창가 자리, 2층 자리
        덮밥집; 연어 덮밥, 가지 덮밥, 불고기 덮밥; 간이 세지 않아요, 밥알이 고슬고슬해요; 미소 된장국; 혼밥 \
            자리, 4인 자리, 바 자리
        분식집; 떡볶이, 참치 김밥, 튀김 모둠; 매콤달콤해서 계속 손이 가요, 재료가 아낌없이 들어 있어요; 어묵 \
            국물; 벽 쪽 자리, 포장 줄, 옛날식 탁자
        찻집; 대추차, 쌍화차, 호지차, 인절미 구이; 향이 깊고 은은해요, 많이 달지 않아서 좋아요; 한과; 마루 \
            자리, 마당 자리, 다락방
        돈가스집; 등심 돈가스, 치즈 돈가스, 카레 돈가스; 튀김옷이 얇고 바삭해요, 고기가 두툼하고 부드러워요; \
            양배추 샐러드; 오픈 주방 앞, 2인 자리, 단체석
        만둣집; 김치만두, 고기만두, 새우만두; 피가 얇고 육즙이 많아요, 속이 꽉 차 있어요; 단무지; 창가 자리, \
            입구 쪽 자리, 포장 줄
    """),),
    slots={
        "alley": words("달빛 골목 호수 모퉁이 언덕 느린 파란 노란 작은 오후 새벽 마당 돌담 버스정류장 "
                       "도서관옆 고래 다람쥐 구름"),
        "sign": words("식당 상점 부엌 다방 한그릇 살롱 작업실 제과소 밥상 포차 쉼터"),
        "shop": ("{alley} {sign}",), "price": range(4500, 19500, 500), "price_side": range(3000, 9000, 500),
        "hour": range(8, 12), "last": range(6, 11), "wait": range(5, 50, 5), "walk": range(2, 16),
        "park": words("주차는_건물_뒤에_두_대_가능해요 주차장이_없어서_대중교통을_추천해요 "
                      "근처_공영_주차장을_이용했어요 가게_앞_주차는_한_시간_무료예요"),
        "who": words("친구랑 혼자 부모님_모시고 동생이랑 회사_동료들과 아이와_함께 짝꿍이랑"),
        "staff": words("사장님이_친절하세요 직원분이_메뉴를_잘_설명해_주세요 리필도_흔쾌히_해_주셨어요 "
                       "주문이_밀려서_조금_정신없었어요"),
    },
    parts=(
        one("""
            [방문 후기] {shop}|{hello}
            동네 {sort} 추천: {shop}|{hello}
            {who} 다녀온 {shop} 후기예요.|{hello}
        """),
        one("""
            |역에서 걸어서 {walk}분, 골목 안쪽에 있는 {sort:이에요/예요}.
            |{shop:은/는} 오전 {hour}시에 열고 저녁 {last}시에 닫아요. {park}.
            |주말 점심에 갔더니 {wait}분 기다렸어요. {park}.
        """),
        some(5, 7, """
            |{who} 갔고, {menu:과/와} {menu2:을/를} 시켰어요.
            |{menu:은/는} {price}원이고 {taste}.
            |{menu2:은/는} {price_side}원이에요. {~note} {taste2}.
            |{mood:이/가} {~degree} 아늑해서 오래 앉아 있었어요.
            |{side}도 같이 나오는데 {~degree} 맛있어요.
            |{staff}.
            |{shop}의 대표 메뉴는 {menu:이라고/라고} 하네요.
            |{mood2:은/는} 조금 시끄러우니 {mood} 쪽을 추천해요.
            |양은 둘이 먹기에 넉넉했어요. {side:은/는} 한 번 더 주셨어요.
            |다음에는 {menu3:을/를} 먹어 보려고요.
        """),
        one("""
            |맛 {stars} / 분위기 {score} / 재방문 의사 있음!
            |평점은 {score}점! {menu} 좋아하시면 꼭 가 보세요.
            |{shop}, 저는 또 갈 거예요. {stars}
        """),
        one("|{bye}"),
    ),
)

WEB_HOWTO = Kind(
    tables=(table("task tool before mid after warn gain", """
        운동화 세탁; 중성 세제, 칫솔, 신문지; 끈과 깔창을 빼 주세요; 미지근한 물에 20분쯤 담가 두세요; \
            그늘에서 말려 주세요; 뜨거운 물은 접착제를 녹일 수 있어요; 새것처럼 하얘졌어요
        화분 분갈이; 배양토, 마사토, 모종삽; 물을 하루 굶겨 주세요; 뿌리에 붙은 흙을 살살 털어 주세요; \
            일주일은 반그늘에 두세요; 바로 비료를 주면 뿌리가 상해요; 새잎이 세 장이나 나왔어요
        창문 결로 제거; 마른 수건, 단열 시트, 제습제; 물기를 먼저 닦아 주세요; 창틀 틈을 막아 주세요; 하루 \
            두 번 환기해 주세요; 젖은 채로 붙이면 곰팡이가 생겨요; 아침에 물방울이 안 맺혀요
        노트북 속도 개선; 외장 저장 장치, 드라이버, 에어 스프레이; 중요한 파일을 백업하세요; 시작 프로그램을 \
            정리하세요; 먼지를 불어 내고 다시 켜 보세요; 전원이 켜진 채로 열면 위험해요; 부팅이 절반으로 \
            줄었어요
        욕실 줄눈 청소; 베이킹 소다, 구연산, 낡은 칫솔; 환풍기를 켜 주세요; 반죽을 발라 30분 두세요; 찬물로 \
            헹구고 말려 주세요; 락스와 섞으면 절대 안 돼요; 까맣던 줄눈이 하얘졌어요
        자전거 체인 관리; 체인 오일, 세척제, 헌 수건; 기어를 가장 작은 톱니에 두세요; 페달을 돌리며 세척제를 \
            뿌리세요; 기름을 바르고 남은 건 닦아 내세요; 기름이 브레이크에 묻으면 위험해요; 삐걱거리던 \
            소리가 사라졌어요
        옷장 정리; 수납함, 습기 제거제, 이름표; 전부 꺼내서 종류별로 나누세요; 1년간 안 입은 옷은 따로 \
            빼세요; 자주 입는 옷을 앞쪽에 거세요; 한 번에 다 하려 하면 지쳐요; 아침 준비 시간이 짧아졌어요
        가죽 가방 손질; 가죽 크림, 부드러운 천, 신문지; 먼지를 털어 주세요; 크림을 얇게 펴 바르세요; 모양을 \
            잡아 그늘에 두세요; 물티슈로 닦으면 얼룩이 생겨요; 윤기가 다시 돌아요
        커피 머신 세척; 세척용 가루, 솔, 식초; 물통을 비워 주세요; 식초 물을 한 번 내려 주세요; 맑은 물로 세 \
            번 더 내리세요; 덜 헹구면 신맛이 나요; 커피 맛이 깔끔해졌어요
        베란다 텃밭 만들기; 스티로폼 상자, 상토, 상추 모종; 바닥에 물구멍을 뚫으세요; 상토를 8할만 채우세요; \
            해가 잘 드는 쪽에 두세요; 물을 너무 자주 주면 뿌리가 썩어요; 매주 쌈 채소를 따 먹어요
        전선 정리; 벨크로 끈, 정리함, 이름 스티커; 콘센트를 모두 뽑으세요; 같은 방향끼리 묶으세요; 정리함에 \
            넣고 이름을 붙이세요; 너무 꽉 묶으면 열이 나요; 책상 아래가 넓어졌어요
        사진 백업; 외장 하드, USB 메모리, 메모리 카드; 흐린 사진부터 지우세요; 연도별 폴더를 만드세요; 두 \
            군데에 복사해 두세요; 한 곳에만 두면 날릴 수 있어요; 찾고 싶은 사진이 바로 나와요
    """),),
    slots={
        "cost": range(2000, 32000, 500), "spent": range(15, 95, 5), "level": words("하 중하 중 중상"),
        "where": words("다이어리_카페 살림_블로그 동영상_강의 이웃님_댓글 어머니_수첩 철물점"),
    },
    parts=(
        one("""
            {task}, 이렇게 하면 쉬워요|{hello}
            [꿀팁] 초보도 하는 {task}|{hello}
            {task} {days}일 차 기록과 방법 정리|{hello}
        """),
        one("""
            |준비물: {tool}, {tool2}, {tool3} (다 합쳐 {cost}원)
            |필요한 것은 {tool:과/와} {tool2}뿐이에요. 비용은 {cost}원쯤 들었어요.
            |난이도 {level}, 시간은 {spent}분, 비용은 {cost}원이에요. {tool:은/는} 꼭 있어야 해요.
        """),
        one("""
            |1. {before}.|2. {mid}.|3. {after}.
            |1단계 - {before}.|2단계 - {mid}.|3단계 - {after}.
            |① {before}.|② {tool:을/를} 준비한 다음 {mid}.|③ 마지막으로 {after}.
        """),
        some(3, 5, """
            |주의! {warn}.
            |{~note} {tool:은/는} 미리 사 두면 편해요.
            |{where}에서 배운 방법인데 {~degree} 효과가 좋아요.
            |저는 {spent}분 걸렸는데 익숙해지면 더 빨라져요.
            |저는 {weeks}주 전에 처음 해 봤는데 이제는 습관이 됐어요.
            |{tool3:은/는} 없어도 되지만 있으면 훨씬 수월해요.
            |{warn}. 저도 한 번 실패했어요 ㅎㅎ
            |{task:은/는} {weeks}주에 한 번이면 충분해요.
            |{tool2:은/는} 인터넷에서도 쉽게 구할 수 있어요.
        """),
        one("""
            |{task} 하고 나니 {gain}.
            |{days}일 만에 다시 봐도 뿌듯해요. 여러분도 {task} 꼭 해 보세요.
        """),
        one("|{bye}"),
        maybe("|{tagword} {tagword2}"),
    ),
)

WEB_RECIPE = Kind(
    tables=(table("dish main extra sauce step last tip", """
        김치볶음밥; 찬밥, 신김치; 대파, 달걀, 햄; 고추장, 간장; 파기름을 내고 김치를 볶아요; 달걀프라이를 \
            얹어요; 설탕을 조금 넣으면 신맛이 줄어요
        된장찌개; 두부, 애호박; 감자, 버섯, 양파; 된장, 멸치 육수; 육수에 된장을 풀고 감자부터 끓여요; \
            두부를 넣고 5분 더 끓여요; 쌀뜨물을 쓰면 국물이 구수해요
        토마토 파스타; 스파게티 면, 방울토마토; 마늘, 양파, 바질; 올리브유, 소금; 마늘을 볶다가 토마토를 \
            으깨요; 면수를 한 국자 넣고 버무려요; 면은 봉지보다 1분 덜 삶아요
        두부조림; 두부; 양파, 대파, 청양고추; 간장, 고춧가루; 두부를 노릇하게 부쳐요; 양념을 붓고 약한 불에 \
            졸여요; 두부 물기를 빼야 안 튀어요
        감자수프; 감자; 양파, 우유, 버터; 소금, 후추; 버터에 양파를 오래 볶아요; 곱게 갈아서 우유를 넣고 \
            끓여요; 센 불에 끓이면 눌어붙어요
        오이무침; 오이; 양파, 쪽파, 깨; 고춧가루, 식초; 오이를 소금에 10분 절여요; 물기를 꼭 짜고 무쳐요; \
            먹기 직전에 무쳐야 아삭해요
        달걀찜; 달걀; 당근, 쪽파, 새우젓; 소금, 다시마 육수; 달걀과 육수를 고루 풀어요; 약한 불에 뚜껑 덮고 \
            익혀요; 체에 한 번 거르면 부드러워요
        바나나 팬케이크; 바나나; 달걀, 귀리, 우유; 꿀, 계핏가루; 바나나를 으깨 반죽해요; 약한 불에 앞뒤로 \
            구워요; 기포가 올라올 때 뒤집어요
        채소 카레; 감자, 당근; 양파, 브로콜리, 버섯; 카레 가루, 버터; 양파를 갈색이 될 때까지 볶아요; 카레 \
            가루를 풀고 10분 끓여요; 사과를 갈아 넣으면 부드러워요
        미역국; 불린 미역; 소고기, 마늘, 들깻가루; 국간장, 참기름; 참기름에 미역을 달달 볶아요; 물을 붓고 푹 \
            끓여요; 오래 끓일수록 맛이 깊어져요
    """),),
    slots={
        "people": range(1, 5), "cook": range(10, 55, 5), "grams": range(80, 420, 10),
        "spoons": words("반_큰술 1큰술 1.5큰술 2큰술 1작은술"),
        "when": words("비_오는_날 퇴근하고 주말_아침에 냉장고_털_때 입맛_없을_때 야식으로"),
        "eater": words("아이 남편 아내 동생 룸메이트 부모님"),
    },
    parts=(
        one("""
            {when} 해 먹는 초간단 {dish}|{hello}
            [레시피] {dish} {people}인분|{hello}
            {cook}분이면 끝나는 {dish} 만들기예요.|{hello}
        """),
        one("""
            |재료({people}인분): {main} {grams}g, {extra}, {extra2}, {sauce} {spoons}
            |준비할 재료는 {main:과/와} {extra}, 그리고 {sauce:이에요/예요}. {people}인분 기준으로 {main} \
                {grams}g이면 돼요.
        """),
        one("""
            |1) {extra:과/와} {extra2:을/를} 준비해요.|2) {step}.|3) {sauce} {spoons} 넣고 간을 맞춰요.|4) \
                {last}.
            |먼저 {step}. 그다음 {sauce:을/를} {spoons} 넣어요. {extra2:을/를} 더하고 마지막으로 {last}.
            |①{main:을/를} 준비하고 ②{step}. ③{last}. 끝이에요!
        """),
        some(4, 6, """
            |{extra:이/가} 없으면 {extra3:을/를} 넣어도 맛있어요.
            |{eater:이/가} 두 그릇이나 먹었어요.
            |{~degree} 간단한데 맛은 그럴듯해요.
            |간이 싱거우면 {sauce:을/를} 조금 더 넣으세요.
            |총 {cook}분 걸렸고 설거지도 적어요.
            |팁: {tip}. 이게 제일 중요해요.
            |{spoons:이면/면} 조금 적어 보이지만 간은 딱 맞아요.
            |{eater} 입맛에 맞춰서 {sauce:은/는} 살짝 줄였어요.
            |남은 {dish:은/는} 다음 날 데워 먹어도 괜찮아요.
        """),
        one("|{bye}"),
        maybe("|{tagword} {tagword2}"),
    ),
)

WEB_QUESTION = Kind(
    tables=(table("device trouble tried cause fix cost", """
        노트북; 전원을 켜면 화면이 깜빡거려요; 재부팅, 밝기 조절; 화면 케이블 접촉 불량; 그래픽 드라이버를 \
            다시 설치해 보세요; 점검비
        세탁기; 탈수할 때 소리가 너무 커요; 수평 맞추기, 빨래 줄이기; 받침 다리의 수평 문제; 네 다리를 돌려 \
            가며 수평을 다시 맞춰 보세요; 출장비
        보일러; 온수가 나왔다 안 나왔다 해요; 전원 껐다 켜기, 밸브 확인; 필터에 낀 찌꺼기; 난방수 필터를 \
            빼서 씻어 보세요; 부품값
        휴대폰; 충전이 아주 느려졌어요; 케이블 교체, 재시작; 충전 단자에 낀 먼지; 전원을 끄고 단자 먼지를 \
            살살 빼 보세요; 단자 교체비
        냉장고; 뒤쪽 벽에 얼음이 자꾸 껴요; 온도 낮추기, 성에 긁기; 문 고무 패킹 틈새; 따뜻한 수건으로 \
            패킹을 펴 보세요; 패킹값
        공유기; 저녁만 되면 인터넷이 끊겨요; 재부팅, 위치 옮기기; 이웃집과 겹치는 채널; 설정에서 채널을 바꿔 \
            보세요; 기기값
        몬스테라; 잎끝이 갈색으로 말라요; 물 주기, 분무하기; 낮은 습도와 찬 바람; 창가에서 조금 떨어뜨리고 \
            분무를 늘려 보세요; 화분값
        자전거; 오르막에서 체인이 튀어요; 기름칠, 기어 변경; 늘어난 체인; 체인 길이를 재 보고 교체해 보세요; \
            공임
        프린터; 인쇄하면 줄이 가요; 잉크 교체, 용지 교체; 막힌 노즐; 헤드 청소를 세 번 돌려 보세요; 헤드 \
            교체비
        제습기; 물통이 비었는데도 가득 찼다고 떠요; 물통 다시 끼우기, 전원 뽑기; 부표에 낀 이물질; 물통 안 \
            부표를 씻어 보세요; 수리비
        기타; 3번 줄에서 잡음이 나요; 조율, 줄 교체; 습도로 휜 목; 트러스 로드를 조금씩 조여 보세요; 세팅비
        어항; 물이 며칠 만에 뿌옇게 변해요; 물갈이, 여과기 세척; 먹이를 너무 많이 준 것; 먹이를 줄이고 물을 \
            3분의 1만 갈아 보세요; 여과재값
    """),),
    slots={
        "used": range(2, 11), "money": range(10000, 130000, 5000), "likes": range(3, 260),
        "ago": range(2, 58),
        "urgent": words("급해요 도와주세요 답변_부탁드려요 고수님들_봐_주세요 저만_이런가요"),
    },
    parts=(
        one("""
            [질문] {device}: {trouble} ({urgent})
            제목: {device:이/가} 이상해요 ㅠㅠ {urgent}
            {device} 쓰시는 분들 계신가요? {urgent}
        """),
        one("""
            |{used}년째 쓰는 {device}인데 {days}일 전부터 {trouble}. {tried}도 해 봤는데 그대로예요.
            |{device} 문제로 글 올려요. 갑자기 {trouble}. {tried:은/는} 이미 해 봤고요, 산 지는 {used}년 \
                됐어요.
        """),
        some(1, 2, """
            |{cost:이/가} {money}원쯤 든다는데 그냥 새로 사는 게 나을까요?
            |{device} 말고 다른 건 다 멀쩡해요. {tried2}까지 해 봐야 할까요?
            |혹시 {cause} 때문일 수도 있나요?
            |검색해 보니 {cause:이라는/라는} 말도 있던데 확실하지 않아요.
        """),
        one("""
            |└ {member} ({ago}분 전): {cause}일 가능성이 커요. {fix}.
            |답변 1) {member}님|저도 똑같은 증상이었는데 {cause:이었어요/였어요}. {fix}.
            |[채택 답변] {member}: {device} 증상을 보니 {cause:을/를} 의심해야 해요. {fix}.
        """),
        some(1, 2, """
            |└ {member2}: 저는 {tried:으로/로} 해결했어요. 안 되면 {cost} {money}원 잡으셔야 해요.
            |└ {member3}: 윗분 말씀이 맞아요. {fix}. 저는 그걸로 {used}년 더 썼어요.
            |└ {member2}: {cause:이라면/라면} 혼자서도 고칠 수 있어요.
            |답변 2) {member3}님|{used}년이면 오래 쓰셨네요. {money}원 넘으면 교체를 추천해요.
        """),
        one("""
            |(추가) {member}님 말씀대로 하니 해결됐어요! 정말 감사해요. 공감 {likes}
            |글쓴이: 와, 진짜 {cause:이었네요/였네요}. 다들 감사합니다 ㅎㅎ
            |글쓴이: 내일 해 보고 후기 남길게요. 답변 감사해요!
        """),
    ),
)

WEB_SALE = Kind(
    tables=(table("goods part state reason", """
        원목 책상; 상판, 서랍, 다리; 모서리에 작은 흠집이 있어요; 이사하면서 자리가 없어졌어요
        통기타; 줄, 케이스, 몸통; 생활 흠집만 조금 있어요; 새 취미가 생겨서 정리해요
        유아 자전거; 안장, 보조 바퀴, 손잡이; 바퀴에 흙 자국이 있어요; 아이가 훌쩍 커 버렸어요
        미러리스 카메라; 렌즈, 배터리, 끈; 액정에 보호 필름이 붙어 있어요; 휴대폰만 쓰게 돼요
        캠핑 텐트; 폴대, 플라이, 수납 가방; 두 번 펼쳐 봤어요; 식구가 늘어서 큰 걸로 바꿔요
        전자레인지; 회전판, 문, 버튼; 안쪽까지 깨끗이 닦았어요; 선물로 새 제품을 받았어요
        피아노 의자; 방석, 높낮이 나사, 다리; 방석 색이 조금 바랬어요; 피아노를 처분했어요
        책장; 선반, 뒤판, 나사; 흔들림 없이 튼튼해요; 책을 많이 줄였어요
        공기 청정기; 필터, 리모컨, 센서; 필터를 한 달 전에 갈았어요; 같은 제품이 두 대가 됐어요
        스탠드 옷걸이; 봉, 바퀴, 받침; 녹슨 곳 하나 없어요; 붙박이장이 생겼어요
        보드게임 세트; 카드, 말, 설명서; 구성품이 모두 들어 있어요; 같이 할 사람이 없어요
        접이식 식탁; 상판, 경첩, 의자; 물컵 자국이 희미하게 있어요; 더 큰 식탁을 들였어요
    """),),
    slots={
        "price": range(10000, 240000, 5000), "bought": range(1, 8), "cut": range(1000, 9000, 1000),
        "stop": words("도서관_앞 중앙공원_정문 우체국_건너편 호수역_2번_출구 시장_입구 체육관_주차장 "
                      "아파트_정문 은행나무길_버스_정류장"),
        "hours": range(2, 13), "time": words("평일_저녁 주말_오전 토요일_오후 점심시간 일요일_낮"),
        "pay": words("계좌_이체 현금 안전_결제"),
    },
    parts=(
        one("""
            [판매] {goods} {price}원에 내놓아요
            {goods} 급하게 정리합니다 ({price}원)
            중고 거래 글 올려요. {goods:이에요/예요}.
        """),
        one("""
            |{bought}년 전에 산 {goods}인데, {reason}.
            |{reason}. 그래서 아끼던 {goods:을/를} {price}원에 보내려고 해요.
        """),
        some(4, 6, """
            |상태: {state}.
            |{part:은/는} 새것처럼 깨끗하고 {part2}도 이상 없어요.
            |가격: {price}원 (네고는 {cut}원까지 가능해요)
            |거래 장소: {stop} / 거래 시간: {time}
            |{stop}에서 {time}에 직거래 원해요. 택배는 어려워요.
            |결제는 {pay:으로/로} 부탁드려요.
            |{goods:은/는} 직접 보고 결정하셔도 괜찮아요.
            |{part} 사진은 댓글에 더 올려 둘게요.
            |쓰던 {part2:과/와} 설명서도 함께 드려요.
        """),
        some(2, 3, """
            |└ {member}: 혹시 {part:은/는} 교체하신 적 있나요?|└ 글쓴이: 아니요, 산 그대로예요.
            |└ {member2}: {time}에 {stop}에서 가능할까요?|└ 글쓴이: 네, 쪽지 드릴게요.
            |└ {member}: {cut}원만 깎아 주실 수 있을까요?|└ 글쓴이: {stop:으로/로} 오시면 그렇게 해 드릴게요.
            |└ {member2}: {goods} 아직 있나요?|└ 글쓴이: 네, 예약자 없어요!
        """),
        maybe("""
            |예약금은 받지 않아요. 먼저 오시는 분께 드려요.
            |문의는 쪽지 주세요. 늦어도 {hours}시간 안에 답해 드려요.
            |환불은 어려우니 {part} 상태를 꼼꼼히 보고 결정해 주세요.
        """),
    ),
)

WEB_TRIP = Kind(
    tables=(table("sight see food gear month", """
        수목원; 메타세쿼이아 길, 수련 연못, 온실; 산채비빔밥, 도토리묵; 모자; 5, 6, 10
        해변; 모래사장, 등대 산책로, 솔숲; 물회, 조개구이; 돗자리; 6, 7, 9
        한옥 마을; 돌담길, 공예 체험관, 전망대; 연잎밥, 식혜; 편한 신발; 4, 10, 11
        출렁다리; 다리 입구, 계곡 전망대, 둘레길; 손두부, 막국수; 등산화; 4, 9, 10
        호수 공원; 음악 분수, 갈대밭, 자전거 길; 닭갈비, 쑥떡; 얇은 겉옷; 5, 9, 10
        동굴; 종유석 광장, 지하 호수, 빛의 통로; 곤드레밥, 감자떡; 긴소매 옷; 7, 8
        섬; 몽돌 해변, 전망 언덕, 작은 학교; 해물칼국수, 멍게비빔밥; 멀미약; 5, 6, 9
        고원 목장; 양 먹이 체험장, 풍차 언덕, 편백 숲길; 황태국, 우유 빙수; 바람막이; 5, 6, 8
    """),),
    slots={
        "area": words("솔내 달무리 은모래 바람골 노을 갈대숲 하늘빛 물안개 별마당 돌고래 푸른밤 들꽃 "
                      "구름재 해오름"),
        "spot": ("{area} {sight}",), "fee": range(2000, 15000, 500), "stay": range(45000, 150000, 5000),
        "ride": range(1, 5), "rest": range(10, 60, 10),
        "who": words("부모님이랑 친구_셋이서 혼자서 아이들_데리고 짝꿍이랑 동호회에서"),
        "car": words("기차로 시외버스로 렌터카로 자가용으로 셔틀버스로"),
        "inn": words("게스트하우스 한옥_민박 펜션 캠핑장 작은_호텔"),
    },
    parts=(
        one("""
            {who} 다녀온 {spot} 1박 2일|{hello}
            [여행 후기] {spot}, {month}월에 가기 딱 좋아요|{hello}
            {spot} 코스와 비용 정리해요.|{hello}
        """),
        one("""
            |{car} {ride}시간 {rest}분 걸렸고 입장료는 {fee}원이에요.
            |가는 방법: {car} {ride}시간 {rest}분|입장료: 어른 {fee}원
        """),
        some(5, 7, """
            |첫째 날은 {see:을/를} 천천히 걸었어요.
            |{see2:은/는} 사람이 많으니 아침 일찍 가세요.
            |점심은 근처에서 {food:을/를} 먹었는데 {~degree} 맛있었어요.
            |숙소는 {inn:이었고/였고} 하룻밤에 {stay}원이었어요.
            |{month}월이라 {gear:을/를} 챙겨 가길 잘했어요.
            |{~note} {see}에서 찍은 사진이 제일 잘 나왔어요.
            |{spot:은/는} 월요일에 쉬니까 꼭 확인하고 가세요.
            |둘째 날에는 {see2:을/를} 보고 {food2:을/를} 포장해 왔어요.
            |{who} 가기에도 힘들지 않은 코스예요.
            |유모차도 다닐 수 있게 길이 {~degree} 잘 되어 있어요.
        """),
        one("""
            |총평 {stars} - {see} 하나만으로도 갈 만해요.
            |{spot} 또 가고 싶어요. 다음에는 {see3:을/를} 보려고요.
            |별점 {score}! {food} 생각이 벌써 나요.
        """),
        one("|{bye}"),
        maybe("|{tagword} {tagword2} {tagword3}"),
    ),
)

WEB_HABIT = Kind(
    tables=(table("habit gear hard good step time", """
        새벽 달리기; 러닝화, 바람막이; 비 오는 날에 나가기; 계단을 올라도 숨이 덜 차요, 잠이 깊어졌어요; 5분 \
            걷기; 출근 전에, 해 뜨기 전에, 주말 새벽에
        하루 한 장 그림; 색연필, 작은 공책; 소재 고르기; 사물을 오래 보게 돼요, 잡생각이 줄어요; 컵 하나 \
            그리기; 자기 전에, 점심시간에, 주말 오후에
        영어 필사; 노트, 얇은 원서; 모르는 단어 그냥 넘기기; 긴 문장이 덜 무서워요, 표현이 입에 붙어요; 두 \
            줄 쓰기; 출근 전에, 자기 전에, 점심시간에
        가계부 쓰기; 앱, 영수증 봉투; 소액 결제 적기; 배달비가 절반으로 줄었어요, 통장 잔액이 보여요; 하루 \
            지출 세 개 적기; 자기 전에, 퇴근 후에, 저녁 먹고
        무지출 데이; 도시락통, 텀블러; 커피 참기; 냉장고가 깨끗해졌어요, 요리 실력이 늘었어요; 주 1회 \
            도전하기; 월요일마다, 수요일마다, 평일에만
        스트레칭; 요가 매트, 폼 롤러; 꾸준히 하기; 어깨 뭉침이 풀렸어요, 자세가 반듯해졌어요; 목 돌리기; \
            자기 전에, 퇴근 후에, 아침에 눈뜨자마자
        독서 모임; 필기구, 메모지; 발제문 쓰기; 혼자라면 안 읽을 책을 읽어요, 말하는 게 편해졌어요; 30쪽 \
            읽기; 퇴근 후에, 주말 아침에, 토요일 오후에
        이른 기상; 알람 시계, 조명; 이불 밖으로 나오기; 아침밥을 먹게 돼요, 출근길이 여유로워요; 10분 일찍 \
            일어나기; 평일 아침에, 주말 아침에, 아침마다
        뜨개질; 대바늘, 굵은 털실; 코 빠뜨리지 않기; 휴대폰을 덜 봐요, 선물할 목도리가 생겼어요; 겉뜨기 열 \
            줄; 아이 재우고, 자기 전에, 주말 오후에
        베란다 가드닝; 물뿌리개, 상토; 과습 피하기; 아침마다 새잎을 찾게 돼요, 집 안 공기가 상쾌해요; 허브 \
            하나 키우기; 출근 전에, 주말 아침에, 저녁 먹고
    """),),
    slots={
        "start": range(3, 25), "now": range(30, 240), "cost": range(3000, 48000, 1000),
        "mate": words("온라인_모임_분들 동네_친구 직장_동료 남편 아내 동생"),
        
    },
    parts=(
        one("""
            {habit} {now}일 해 본 변화|{hello}
            [습관 기록] {habit} {weeks}주 차|{hello}
            의지박약도 하는 {habit}|{hello}
        """),
        one("""
            |저는 {time} {step}부터 시작했어요.
            |처음 {start}일은 {hard:이/가} 제일 힘들었어요.
            |{mate:과/와} 같이 {time} 하고 있어요.
        """),
        some(5, 7, """
            |가장 큰 변화는요, {good}.
            |준비물은 {gear:과/와} {gear2} 정도예요. 합쳐서 {cost}원 들었어요.
            |{~note} {hard:은/는} 아직도 어려워요 ㅎㅎ
            |{start}일쯤 지나니까 {~degree} 몸에 익더라고요.
            |{habit:을/를} 하고 나서 {good2}.
            |하기 싫은 날은 {step}만 하고 끝냈어요.
            |{time} 하는 게 저한테는 제일 잘 맞았어요.
            |{mate:이/가} 없었으면 벌써 포기했을 거예요.
            |달력에 동그라미를 치니까 {now}일이 금방 가요.
            |{gear:은/는} 비싼 것 말고 집에 있는 걸로 충분해요.
        """),
        one("""
            |{habit}, 딱 {start}일만 해 보세요!
            |다음 목표는 {now}일 더 이어 가는 거예요. 같이 하실 분?
            |오늘의 한 줄: {step:이라도/라도} 하면 성공이에요.
        """),
        one("|{bye}"),
        maybe("|{tagword} {tagword2}"),
    ),
)

WEB_KINDS = (WEB_REVIEW, WEB_SHOP, WEB_HOWTO, WEB_RECIPE, WEB_QUESTION, WEB_SALE, WEB_TRIP, WEB_HABIT)


# ---------------------------------------------------------------------------------------------------------
# social: chats between friends and short posts, in casual speech

SOCIAL_SLOTS = {
    "nick": words("은우 지안 하린 도현 수빈 태이 유진 채운 서하 시우 예나 다현 가은 현오 소민 재인 나경 "
                  "건우 로운 세아 윤호 혜린 찬이 보미 솔이 단우 하율 리나 주하 온이"),
    "A": ("{nick1}:",),
    "B": ("{nick2}:",),
    "lol": words("ㅋㅋ ㅋㅋㅋ ㅋㅋㅋㅋ ㅎㅎ ㅎ ㅋ ㅋㅋㅋㅋㅋ ㅎㅎㅎ"),
    "cry": ("ㅠㅠ", "ㅠ", "ㅜㅜ", "ㅠㅠㅠ", "ㅜ", "T_T", "ㅠㅜ"),
    "face": ("^^", ":)", ";)", "(>_<)", "^^;", ":D", ">_<", "(._.)", "!!", "~~", ":P"),
    "hey": words("야 헐 아니 있잖아 근데 오 저기 야야 잠만 얘들아"),
    "yes": words("ㅇㅇ ㅇㅋ 콜 오키 그래그래 좋아 웅 당연하지 오케이 그러자"),
    "no": words("ㄴㄴ 아니 노노 에이 음 아니아니"),
    "so": words("진짜 완전 너무 넘 엄청 찐으로 대박 은근 겁나"),
    "wow": words("대박 실화냐 레전드 헐 말도_안_돼 와 ㄷㄷ 오오 소름 우와 세상에"),
    "ok": words("{~yes} {~yes}_{~lol} {~yes}_{~face}"),
    "hour": range(1, 12),
    "min": range(5, 60, 5),
    "wait": range(5, 45, 5),
    "day": words("월요일 화요일 수요일 목요일 금요일 토요일 일요일 이번_주말 다음_주"),
    "greet": lines("""
        {A} {~hey} 뭐해|{B} 나 그냥 누워있음 {~lol}
        {A} {nick2:아/야} 자?|{B} {~no} 안 자 왜
        {A} 바빠?|{B} 아니 말해 {~face}
        {A} {~hey} 나 할 말 있음|{B} 뭔데 뭔데 {~lol}
        {A} 살아있냐 {~lol}|{B} 겨우 살아있음 {~cry}
        {A} 야아아|{B} 왜애애 {~lol}
        {A} {nick2:아/야} 급해|{B} 왜 무슨 일이야
    """),
    "goodbye": lines("""
        {A} 그럼 이따 봐 {~face}|{B} {~ok}
        {A} 나 이제 씻으러 감 ㅂㅂ|{B} ㅂㅂ {~face}
        {B} 나 폰 꺼질 듯 이따 연락할게|{A} {~ok}
        {A} 졸려 먼저 잔다|{B} 잘자 {~lol}
        {B} 엄마가 부른다 나중에 톡할게|{A} {~ok}
        {A} 역시 너밖에 없다 {~cry}|{B} 이제 알았냐 {~lol}
        {B} 암튼 내일 얘기하자|{A} ㅇㅋㅇㅋ
    """),
}

SOCIAL_MEET = Kind(
    joiner="\n",
    tables=(table("place act thing", """
        영화관; 영화 보기, 팝콘 먹기; 팝콘, 나초
        만화카페; 만화 정주행, 라면 먹기; 라면, 컵떡볶이
        노래방; 노래 부르기, 듀엣 부르기; 탬버린, 마이크
        한강; 자전거 타기, 치킨 먹기; 치킨, 돗자리
        놀이공원; 롤러코스터 타기, 퍼레이드 보기; 머리띠, 츄러스
        방탈출; 공포 테마 하기, 신작 테마 하기; 힌트, 기록 사진
        볼링장; 볼링 치기, 내기하기; 볼링화, 음료수
        전시회; 사진전 보기, 굿즈 구경; 엽서, 포스터
        찜질방; 식혜 마시기, 뒹굴기; 식혜, 맥반석 달걀
        보드게임 카페; 마피아 하기, 카드 게임 하기; 과자, 음료수
    """),),
    slots={
        "exit": range(1, 9), "close": range(9, 13),
        "station": words("호수역 은하역 솔빛역 강변삼거리 시계탑 중앙분수 달빛역 학교_정문 구름역"),
        "late": words("버스 알람 지갑_찾기 엄마_심부름 머리_말리기 택배 길_막힘 낮잠 우산_찾기"),
        "money": range(6000, 30000, 1000),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {day}에 {place} 갈래?|{B} {~ok}
            {A} 우리 {place} 언제 가|{B} {day} 어때 {~face}
            {B} {day}에 시간 됨?|{A} {~yes} {place} 고고 {~lol}
        """),
        some(3, 5, """
            {A} {hour}시 {station} 어때|{B} {~so} 좋아 {~lol}
            {B} 어디서 봐|{A} {station} {exit}번 출구 앞
            {A} 가서 {act:은/는} 꼭 하자|{B} {~wow} 나도 그 생각함 {~lol}
            {B} {thing:은/는} 내가 쏜다|{A} {~wow} {nick2} 최고 {~face}
            {A} {place} 할인 쿠폰 있음 {money}원 굳음|{B} {~wow} {~lol}
            {A} {nick3:이도/도} 부를까?|{B} {~yes} {nick3} 오면 {~so} 재밌지
            {B} 비 오면 어떡해 {~cry}|{A} {place:은/는} 우산 쓰고라도 간다 {~lol}
            {A} 지난번처럼 늦지 마라 {~lol}|{B} 그땐 {late} 때문이었지 {~cry}
            {B} 근데 {act} 몇 시까지 돼?|{A} 찾아보니까 밤 {close}시까지래
        """),
        some(1, 2, """
            {B} 미안 {late} 땜에 {~cry} {wait}분 늦을 듯|{A} 또냐 {~lol} {station}에서 기다림
            {A} 나 도착|{B} 벌써?? 나 {wait}분만 {~cry}
            {A} {station} 도착하면 톡해|{B} {~ok}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_EXAM = Kind(
    joiner="\n",
    tables=(table("subject hard", """
        수학; 함수, 확률, 도형, 수열
        영어; 단어, 듣기, 문법, 서술형
        과학; 전자기, 화학식, 유전, 지구과학
        역사; 연표, 인물, 지도 문제, 사료 문제
        국어; 비문학, 고전시가, 문법, 서술형
        통계학; 가설 검정, 회귀, 분포표, 조건부 확률
        프로그래밍; 재귀, 포인터, 정렬, 디버깅
        한문; 부수, 사자성어, 독음, 풀이
    """),),
    slots={
        "score": range(42, 100), "goal": range(70, 101, 5), "pages": range(20, 260, 5),
        "snack": words("초코바 에너지드링크 컵라면 떡볶이 젤리 아아 삼각김밥 붕어빵 요거트 감자칩"),
        "spot": words("도서관 독서실 카페 학교_열람실 우리_집 빈_강의실"),
        "task": words("과제 조별과제 시험 쪽지시험 발표 레포트 퀴즈"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {subject} {task} 언제야?|{B} {day} {~cry}
            {A} 야 {subject} {task} 준비함?|{B} {~no} 하나도 안 함 {~lol}
            {B} {subject} {task} {~so} 망할 듯 {~cry}|{A} 나도 {~cry}
        """),
        some(3, 5, """
            {A} {hard} 진짜 하나도 모르겠음|{B} {hard:은/는} 그냥 외워 {~lol}
            {B} 범위 {pages}쪽 실화냐|{A} {~wow} {~cry}
            {A} {spot}에서 같이 할래?|{B} {~ok} {hour}시에 갈게
            {B} 나 {snack} 사감 너도 먹을?|{A} {~wow} {nick2:이가/가} 천사다 {~face}
            {A} {hard2} 나오면 찍는다|{B} 나는 {hard2}만 나오면 좋겠음 {~lol}
            {A} 목표 {goal}점|{B} 나는 {goal}점 넘으면 {snack} 쏜다 {~lol}
            {B} 밤새면 오히려 망함|{A} ㅇㅈ {hour}시엔 자야지 {~face}
            {A} {nick3:이는/는} {subject} 다 끝냈대|{B} {~wow} 걔는 {~so} 부지런해
            {B} {hard} 정리한 거 있어?|{A} {~yes} 사진 찍어 보낼게
        """),
        some(1, 2, """
            {A} 저번에 {subject} {score}점 나왔잖아 {~cry}|{B} 이번엔 다르다 {~lol} 파이팅
            {A} 끝나면 뭐 할래|{B} 일단 잔다 {~lol} 그다음 {snack}
            {B} {task} 끝나면 놀자|{A} {~ok} {day}에 봄
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_FOOD = Kind(
    joiner="\n",
    tables=(table("food option side", """
        치킨; 양념, 간장, 마늘맛, 반반; 치즈볼, 무, 콜라
        피자; 고구마, 불고기, 치즈, 하와이안; 스파게티, 피클, 갈릭소스
        마라탕; 1단계, 2단계, 3단계; 꿔바로우, 볶음밥, 빙홍차
        떡볶이; 순한맛, 로제, 매운맛; 순대, 김말이, 쿨피스
        짜장면; 곱빼기, 간짜장, 쟁반짜장; 탕수육, 군만두, 단무지
        햄버거; 새우, 더블, 치즈; 감튀, 밀크쉐이크, 너겟
        초밥; 연어, 모둠, 광어; 우동, 새우튀김, 계란말이
        족발; 앞발, 불족, 반반; 막국수, 주먹밥, 쌈무
        빙수; 팥, 딸기, 인절미; 토스트, 떡, 연유
        라면; 매운맛, 짜장맛, 해물맛; 김치, 찬밥, 달걀
    """),),
    slots={
        "price": range(9000, 38000, 1000),
        "shop": words("새로_생긴_집 골목집 단골집 역_앞_가게 학교_앞_가게 24시_가게"),
        "diet": range(1, 9), "coupon": range(1000, 6000, 1000),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 배고파 {~cry}|{B} {food} 시킬래?
            {A} 오늘 {food} 각이다|{B} {~yes} {~so} 땡김 {~lol}
            {B} 저녁 뭐 먹지|{A} {food} 어때 {~face}
        """),
        some(4, 6, """
            {A} {option:으로/로} 할까|{B} {~no} {option2:이/가} 진리지 {~lol}
            {B} {side}도 추가하자|{A} {~ok}
            {A} 다 해서 {price}원|{B} 반반 하자 계좌 보내줘
            {B} {shop} {food} {~so} 맛있대|{A} {~wow} 거기로 ㄱㄱ
            {A} 배달 {wait}분 걸린대 {~cry}|{B} 기다리다 쓰러짐 {~lol}
            {A} 다이어트 {diet}일째였는데|{B} {food} 앞에선 무효 {~lol}
            {B} 쿠폰 {coupon}원 있음|{A} {~wow} {nick2:이가/가} 다 했다
            {A} {side2:은/는} 내 거다|{B} {~no} 나눠 먹어 {~lol}
            {B} {nick3:이도/도} 부르자|{A} 걔 오면 {food} 두 개 시켜야 됨 {~lol}
        """),
        one("""
            {A} 왔다!!|{B} {~wow} 냄새 {~so} 좋아 {~face}
            {A} 다 먹음 배 터짐 {~lol}|{B} 다음엔 {option2} 가자
            {B} 역시 {food:은/는} {option2:이야/야}|{A} ㅇㅈ {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_GAME = Kind(
    joiner="\n",
    tables=(table("game role item", """
        슈팅 게임; 저격수, 힐러, 탱커; 스코프, 구급상자
        레이싱 게임; 1등, 방해꾼, 꼴찌; 부스터, 바나나
        농장 게임; 농부, 어부, 광부; 호박 씨앗, 황금 물뿌리개
        카드 게임; 선공, 후공, 딜러; 전설 카드, 뽑기권
        축구 게임; 골키퍼, 공격수, 수비수; 선수팩, 유니폼
        리듬 게임; 드럼, 기타, 보컬; 신곡, 하트
        건축 게임; 벽돌공, 설계자, 탐험가; 다이아 곡괭이, 횃불
        낚시 게임; 낚시꾼, 선장, 요리사; 황금 미끼, 새 낚싯대
    """),),
    slots={
        "level": range(7, 99), "losses": range(2, 12), "rank": words("브론즈 실버 골드 플래티넘 다이아"),
        "tries": range(2, 90),
        "excuse": words("렉 손가락_얼음 마우스_고장 고양이가_키보드_밟음 동생이_와이파이_씀 졸림"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {game} 들어와|{B} 5분만 {~lol}
            {A} 한 판 ㄱ?|{B} {game}? {~ok}
            {B} 오늘 {game} 하는 사람|{A} 나나 {~face}
        """),
        some(4, 6, """
            {A} 내가 {role} 할게|{B} 그럼 난 {role2} {~lol}
            {B} {item} 떴다!!|{A} {~wow} {tries}번 만에 {~lol}
            {A} {losses}연패 실화냐 {~cry}|{B} {excuse} 때문임 인정?
            {B} 나 드디어 {rank}|{A} {~wow} 축하축하 {~face}
            {A} {nick3:이가/가} {role3:으로/로} 캐리함|{B} 걔 {~so} 잘해
            {A} {item2:을/를} 왜 안 써 {~lol}|{B} 아끼다가 못 씀 {~cry}
            {B} 지금 레벨 {level}|{A} 벌써? {~so} 빠르네
            {A} 핑 튄다|{B} {excuse:이라/라} 쓰고 실력이라 읽는다 {~lol}
            {B} 업데이트 하고 {role} {~so} 약해짐|{A} ㄹㅇ {~cry}
        """),
        one("""
            {A} 막판 ㄱ|{B} 그 말만 세 번째 {~lol}
            {A} 이겼다!!!|{B} {~wow} {nick1} 캐리 {~face}
            {B} 내일 {hour}시에 {game} 또 ㄱㄱ|{A} {~ok}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_PET = Kind(
    joiner="\n",
    tables=(table("pet deed treat spot", """
        고양이; 꾹꾹이, 우다다, 골골송; 츄르, 북어 트릿; 캣타워, 박스, 내 키보드 위
        강아지; 배 뒤집기, 산책 조르기, 신발 물어오기; 개껌, 고구마; 소파, 현관 앞, 내 발밑
        햄스터; 쳇바퀴 돌리기, 볼 빵빵하게 먹기; 해바라기씨, 옥수수; 톱밥 속, 은신처, 쳇바퀴
        앵무새; 말 따라 하기, 휘파람 불기; 해바라기씨, 사과 조각; 어깨 위, 커튼 봉, 새장 지붕
        토끼; 코 벌름거리기, 빙키; 건초, 당근 잎; 침대 밑, 상자, 베란다
        거북이; 목 쭉 빼기, 느릿느릿 산책; 상추, 새우; 돌 위, 수조 구석, 히터 밑
    """),),
    slots={
        "name": words("두부 콩이 보리 감자 모카 호두 망고 구름이 찰떡이 초코 라떼 만두 몽실이 땅콩 치즈 "
                      "쿠키 율무 밤톨이"),
        "grams": range(10, 90, 5), "months": range(3, 30),
        "broken": words("컵 화분 이어폰 과제_프린트 휴지 쿠션 충전선"),
        "doctor": words("예방접종 건강검진 발톱_깎기 목욕 미용"),
    },
    parts=(
        one("""
            {A} 우리 {name} 사진 볼래?|{B} {~wow} 당장 보내 {~lol}
            {A} {~hey} {name:이/가} 방금 {deed} 함|{B} {~wow} 영상 있어?
            {B} {name} 잘 있어?|{A} {~so} 잘 있지 {~face} {pet} 팔자가 상팔자야
        """),
        some(5, 7, """
            {A} {name} 지금 {spot}에서 잠 {~lol}|{B} 귀여워 {~cry}
            {B} {name} 몇 개월이지?|{A} 이제 {months}개월
            {A} {treat} 줬더니 {deed} 하더라|{B} {~so} 똑똑하다
            {A} 오늘 {name:이/가} {broken} 망가뜨림 {~cry}|{B} {pet:이/가} 그럴 수도 있지 {~lol}
            {B} 나도 {pet} 키우고 싶다 {~cry}|{A} {name} 보러 와 {~face}
            {A} {day}에 {doctor} 가야 됨|{B} {name} 파이팅 {~cry}
            {B} {treat2} 사 갈게|{A} {~wow} {name:이/가} 좋아하겠다 {~lol}
            {A} 살쪄서 {grams}그램 늘었대|{B} {treat} 줄여야겠네 {~lol}
            {A} {spot2}만 가면 안 나와|{B} {treat:으로/로} 꼬셔봐 {~lol}
            {B} {name} {deed2} 한 번만 더 보여줘|{A} {~ok}
        """),
        one("""
            {A} 지금 내 옆에서 {deed2} 중|{B} 부럽다 {~cry}
            {B} 주말에 {name} 보러 간다|{A} {~ok} {hour}시에 와
            {A} 집사는 {name} 밥 주러 간다|{B} {~lol} 수고
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_SHOW = Kind(
    joiner="\n",
    tables=(table("show part fan brag", """
        드라마; 마지막 회, 고백 장면, 반전, 예고편; 남주, 여주, 서브 주인공; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        콘서트; 앙코르, 첫 곡, 무대 장치, 떼창; 보컬, 드러머, 댄서; {seat}열 잡았다!!, 예매 대기 {crowd}명 \
            뚫음
        예능; 몰래카메라, 게임 코너, 벌칙, 첫 방송; 막내, 진행자, 게스트; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        웹툰; 이번 화, 작화, 반전, 외전; 주인공, 악당, 조연; {episode}화까지 정주행함, {episode}화 세 번 \
            돌려봄
        뮤지컬; 커튼콜, 솔로곡, 2막, 의상; 주연, 앙상블, 지휘자; {seat}열 잡았다!!, 예매 대기 {crowd}명 뚫음
        애니; 엔딩곡, 변신 장면, 최종화, 성우 연기; 주인공, 라이벌, 마스코트; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        축제 공연; 불꽃놀이, 댄스 무대, 밴드 공연, 앙코르; 동아리 선배, 사회자, 우리 과 대표; 앞에서 \
            {seat}번째 줄 맡음, 줄 서서 {wait}분 기다림
    """),),
    slots={
        "title": words("달토끼_우체국 여름의_온도 비밀_옥상 심야_정거장 초록_신호 별난_하숙집 구름_세탁소 "
                       "마지막_버스 유리_정원 오늘도_지각"),
        "episode": range(2, 31), "seat": range(1, 40), "crowd": range(20, 900, 10),
        "goods": words("포토카드 응원봉 포스터 키링 엽서 티셔츠 스티커"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 너 {title} 봤어?|{B} 그 {show}? {~yes} {~lol}
            {A} {title} {part} {~wow}|{B} 스포 금지 {~cry}
            {B} 요즘 뭐 봐|{A} {title} 보는데 {~so} 재밌어 {~face}
        """),
        some(4, 6, """
            {A} {part}에서 울었음 {~cry}|{B} 나도 휴지 한 통 씀 {~lol}
            {B} {fan} {~so} 멋있지 않냐|{A} ㅇㅈ {fan} 때문에 봄 {~lol}
            {A} 나 {brag}|{B} {~wow} 난 아직 {part}도 못 봄 {~cry}
            {B} {goods} 샀다 {~face}|{A} {~wow} 나도 하나만 {~cry}
            {B} {part3} 얘기 하고 싶어서 입 근질|{A} 참아 {~lol} 나 아직임
            {A} {part}만 열 번 돌려봄|{B} 나는 {part2} {~lol}
            {B} {part2:은/는} 좀 노잼|{A} {~no} 난 꿀잼이었는데 {~lol}
            {A} {fan2:이/가} 다음에 또 나온다던데|{B} 스포하지 말라고 {~cry}
            {B} {title} 노래 하루 종일 듣는 중|{A} {~lol} 나도 흥얼거림
        """),
        one("""
            {A} {day}에 같이 보자|{B} {~ok}
            {B} {title} 다음 시즌 나온대|{A} {~wow} 기다린다 {~lol}
            {A} 다 보면 감상 말해줘|{B} {~ok}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_WORK = Kind(
    joiner="\n",
    tables=(table("job duty guest", """
        카페 알바; 우유 스팀, 설거지, 원두 갈기, 빨대 채우기; 단골 할머니, 노트북 손님
        편의점 알바; 물건 진열, 유통기한 확인, 택배 접수, 계산; 새벽 손님, 꼬마 손님
        서점 알바; 책 정리, 재고 조사, 포장, 신간 진열; 동화책 찾는 아이, 시집 찾는 할아버지
        학원 알바; 채점, 프린트 뽑기, 출석 확인, 칠판 지우기; 질문 많은 학생, 학부모님
        영화관 알바; 표 확인, 팝콘 튀기기, 상영관 청소, 안내 방송; 단체 손님, 커플 손님
        빵집 알바; 포장, 오픈 준비, 쟁반 닦기, 진열; 식빵 손님, 단골 아저씨
        전시장 알바; 입장 안내, 안내문 나눠주기, 줄 세우기, 의자 접기; 유치원 단체, 외국인 손님
    """),),
    slots={
        "pay": range(30000, 180000, 5000), "tip": words("사탕 귤 음료수 쿠키 손편지 초콜릿"),
        "hours": range(3, 11),
        "boss": words("사장님 점장님 매니저님 실장님"),
        "buy": words("신발 이어폰 기타 자전거 운동복 책 콘서트_표"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 나 오늘 {job} 첫날이야|{B} {~wow} 긴장돼? {~lol}
            {A} {job} {hours}시간 하고 옴 {~cry}|{B} 고생했다 {~cry}
            {B} {job} 할 만해?|{A} {~so} 정신없음 {~lol}
        """),
        some(4, 6, """
            {A} {duty:이/가} {~so} 힘들어 {~cry}|{B} {duty2}보다 힘들어? {~lol}
            {B} {boss:은/는} 어때|{A} {boss} {~so} 좋으셔 {~face}
            {A} {guest:이/가} {tip} 주고 감|{B} {~wow} 감동이다 {~cry}
            {A} {duty2:을/를} 하다가 실수함|{B} 괜찮아 {boss}도 그랬을걸 {~lol}
            {B} 월급 타면 뭐 해|{A} {buy:을/를} 살 거야 {~face}
            {A} 이번 주 {pay}원 벌었다|{B} {~wow} 부자네 {~lol} 밥 사
            {B} {nick3:이도/도} {job} 구한대|{A} 우리 {boss}한테 물어볼게
            {A} {guest2} {wait}분 동안 고민함 {~lol}|{B} {~wow} 그걸 다 기다려줌?
            {A} {day}에 대타 되는 사람 {~cry}|{B} 나 가능 {hour}시부터
        """),
        one("""
            {B} 끝나면 데리러 갈까?|{A} {~wow} {nick2} 최고 {~cry}
            {A} 발 아파 죽겠다 {~cry}|{B} 오늘은 푹 쉬어 {~face}
            {A} 그래도 {duty3:은/는} 재밌음|{B} 적응했네 {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_GIFT = Kind(
    joiner="\n",
    tables=(table("event gift prank", """
        생일; 머그컵, 향초, 무드등, 목도리; 케이크 숨기기, 불 끄고 노래하기
        집들이; 휴지, 화분, 디퓨저, 쟁반; 초인종 누르고 숨기, 현관에 풍선 달기
        졸업식; 꽃다발, 만년필, 앨범, 인형; 플래카드 들기, 단체 티 맞추기
        크리스마스; 양말, 쿠키 세트, 목도리, 스노볼; 산타 옷 입기, 마니또 하기
        개업식; 화분, 시계, 방명록, 쿠키 세트; 첫 손님 되기, 깜짝 주문하기
        퇴사 파티; 여행 가방, 수면 안대, 롤링페이퍼, 슬리퍼; 영상 편지 틀기, 상장 만들기
    """),),
    slots={
        "money": range(10000, 60000, 5000), "people": range(3, 8),
        "cake": words("딸기 초코 고구마 치즈 당근 녹차 티라미수"),
        "wrap": words("리본 신문지 보자기 투명_봉투 종이_상자 반짝이_포장지"),
    },
    parts=(
        one("""
            {A} {~hey} {nick3} {event} {day}인 거 알지?|{B} 헐 까먹음 {~cry}
            {A} {nick3} {event} 선물 뭐 사지|{B} 나도 고민 중 {~cry}
            {B} 우리 {nick3} {event} 몰래 준비하자|{A} {~wow} {~ok}
        """),
        some(5, 7, """
            {A} {gift} 어때|{B} {~no} {gift:은/는} 작년에 줬잖아 {~lol}
            {B} {gift2:이/가} 낫지 않아?|{A} {~so} 좋다 그걸로 ㄱㄱ
            {A} 예산 {money}원씩|{B} {people}명이니까 넉넉하네 {~face}
            {A} {cake} 케이크 시킬까|{B} {nick3:이가/가} {cake} 좋아함 {~lol}
            {B} {prank}도 하자|{A} {~wow} 눈물 쏙 빼자 {~lol}
            {A} 포장은 {wrap:으로/로}|{B} {wrap}? {~lol} 센스 {~wow}
            {B} {nick3:이한테/한테} 들킬 뻔 {~cry}|{A} 조심해 {~lol} {prank:은/는} 비밀이야
            {A} {nick4:이가/가} {gift3} 맡는대|{B} {~ok} 나는 {cake} 케이크
            {B} 편지도 쓰자|{A} 나 글씨 못 쓰는데 {~cry}
            {A} {hour}시까지 다 모여|{B} 늦는 사람 {prank} 담당 {~lol}
        """),
        one("""
            {A} {nick3} 표정 봤어?? {~lol}|{B} 사진 찍어둠 {~face}
            {B} {gift2} 받고 울더라 {~cry}|{A} 성공이다 {~lol}
            {A} 다들 고생함 {~face}|{B} {~wow} 뿌듯
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_POST = Kind(
    joiner="\n",
    tables=(table("scene feel tag", """
        첫눈; 설렌다, 손 시리다, 괜히 걷고 싶다; 겨울, 눈사람, 장갑
        퇴근길 노을; 하루가 다 풀린다, 예쁘다, 울컥한다; 노을, 퇴근, 하늘
        비 오는 창밖; 나른하다, 파전 먹고 싶다, 잠 온다; 비, 우산, 빗소리
        새벽 편의점; 배고프다, 조용하다, 삼김이 맛있다; 새벽, 야식, 삼각김밥
        벚꽃길; 봄이다, 코가 간질간질하다, 심쿵이다; 벚꽃, 봄, 산책
        바닷가; 시원하다, 발가락에 모래가 낀다, 집에 가기 싫다; 바다, 파도, 여름
        동네 놀이터; 추억 돋는다, 그네가 작아졌다, 평화롭다; 동네, 그네, 추억
        만원 버스; 숨 막힌다, 다리 아프다, 내리고 싶다; 출근, 버스, 월요병
        빈 교실; 이상하게 좋다, 조용하다, 졸업이 실감난다; 학교, 방과후, 칠판
        이불 속; 행복하다, 나가기 싫다, 귤이 필요하다; 이불, 귤, 주말
    """),),
    slots={
        "song": words("달리는_밤 우산_하나 초록불 여름_끝 창가에서 첫차 모래시계 종이달"),
        "eat": words("붕어빵 호떡 아이스크림 식혜 어묵 군고구마 탕후루 핫초코"),
        "temp": range(2, 34), "likes": range(3, 220), "weeks": range(2, 20),
        "C": ("{nick3}:",),
    },
    parts=(
        one("""
            {nick1}의 오늘 기록 {~face}
            @{nick1} {hour}시 {min}분
            {day}의 {nick1} {~lol}
        """),
        some(3, 4, """
            {scene} 보는데 {feel} {~cry}
            지금 {scene} {~so} {feel} {~face}
            {eat} 하나 들고 {scene} 구경 중 {~lol}
            이어폰에서 '{song}' 나옴 {~so} 잘 어울려
            {nick2:이랑/랑} 왔으면 좋았을걸 {~cry}
            {weeks}주 만에 여유 부리는 중 {~face}
            기온 {temp}도래 {~wow}
            사진은 못 찍었는데 눈에 담아둠 {~face}
        """),
        one("""
            #{tag} #{tag2} #{tag3}
            #{tag} #{eat} #오늘도수고했어
            #{tag2} #{tag} #일상스타 #소통
        """),
        some(3, 5, """
            {B} {~wow} 어디야?|ㄴ {A} 우리 동네 {~lol}
            {B} {eat} 나도 사줘 {~cry}|ㄴ {A} 빨리 오면 줌 {~lol}
            {C} {scene} {~so} 좋다 {~face}|ㄴ {A} 담에 같이 오자
            {C} 노래 뭐야?|ㄴ {A} '{song}' 꼭 들어봐 {~face}
            {B} 나 지금 {feel2} {~cry}|ㄴ {A} ㅇㅈ {~lol}
            {C} 하트 {likes}개 눌러도 됨? {~lol}|ㄴ {A} 천 개 눌러줘 {~lol}
            {B} 나도 {day}에 {scene} 찍어 올릴게|ㄴ {C} 기대한다 {~face}
            {C} {eat} 어디서 팔아?|ㄴ {A} 역 앞 트럭 {~face}
        """),
    ),
)

SOCIAL_LOST = Kind(
    joiner="\n",
    tables=(table("thing where owner", """
        지갑; 버스 뒷자리, 카페 의자, 체육관 사물함; 초록색 동전 주머니
        이어폰; 도서관 책상, 세탁기 안, 외투 주머니; 곰돌이 케이스
        학생증; 복사기 위, 식당 쟁반, 강의실 바닥; 웃긴 사진
        우산; 지하철 선반, 현관 앞, 우산꽂이; 손잡이 스티커
        노트북 충전기; 동아리방, 열람실 콘센트, 친구 가방; 노란 테이프
        체육복; 탈의실, 운동장 벤치, 세탁소; 이름표
        열쇠; 냉장고 위, 자전거 바구니, 바지 주머니; 오리 열쇠고리
        안경; 베개 밑, 머리 위, 세면대; 빨간 안경줄
    """),),
    slots={
        "times": range(2, 9), "reward": words("밥 커피 아이스크림 떡볶이 노래방 영화_표"),
        "helper": words("경비_아저씨 도서관_사서님 버스_기사님 청소_이모님 카페_사장님"),
    },
    parts=(
        one("""
            {A} 나 {thing} 잃어버림 {~cry}|{B} 헐 언제??
            {A} {~hey} 내 {thing} 못 봤어?|{B} {~no} 못 봤는데
            {B} 왜 이렇게 심각해|{A} {thing:이/가} 없어졌어 {~cry}
        """),
        some(5, 7, """
            {B} {where:은/는} 봤어?|{A} 봤는데 없음 {~cry}
            {A} 오늘만 {times}번째 찾는 중|{B} {~lol} 침착해
            {B} 마지막에 어디 있었는데|{A} {where2:이었나/였나} {~cry}
            {B} {owner} 달린 거지?|{A} 맞아 그거 {~cry}
            {A} 찾아주면 {reward} 쏜다|{B} {~wow} 당장 찾으러 감 {~lol}
            {B} 단톡방에 올려봐|{A} 올렸는데 {nick3:이만/만} 읽음 {~cry}
            {A} {helper}한테 물어봤음|{B} 뭐라셔?
            {B} {nick3:이가/가} {where2}에서 봤대|{A} {~wow} 진짜?? {~face}
            {A} 나 {thing} 올해만 {times}개째야|{B} 기록 세우겠네 {~lol}
            {B} 같이 찾아줄게 {wait}분만 기다려|{A} {nick2:아/야} 고마워 {~cry}
        """),
        one("""
            {A} 찾았다!! {where3}에 있었음 {~lol}|{B} 그럴 줄 알았다 {~lol} {reward} 사
            {A} {helper:이/가} 맡아두셨대 {~cry}|{B} {~wow} 다행이다 {~face}
            {B} 이거 네 {thing} 맞지? {where3}에 있던데|{A} {~wow} 사랑한다 {nick2:아/야} {~cry}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_FIT = Kind(
    joiner="\n",
    tables=(table("sport pain gear", """
        헬스; 허벅지, 어깨, 팔뚝; 장갑, 단백질 셰이크
        필라테스; 엉덩이, 옆구리, 허리; 미끄럼 방지 양말, 레깅스
        클라이밍; 손가락, 전완근, 등; 암벽화, 초크
        수영; 어깨, 목, 종아리; 수경, 오리발
        배드민턴; 손목, 무릎, 팔뚝; 셔틀콕, 라켓
        달리기; 종아리, 발바닥, 무릎; 러닝화, 헤어밴드
        복싱; 주먹, 복근, 어깨; 글러브, 줄넘기
        등산; 무릎, 발목, 종아리; 스틱, 오이
    """),),
    slots={
        "week": range(1, 15), "km": range(2, 22), "kilo": range(1, 9), "rep": range(10, 120, 5),
        "cheat": words("치킨 라면 떡볶이 곱창 도넛 삼겹살 케이크"),
        "coach": words("쌤 코치님 관장님 선배"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 나 {sport} 시작함|{B} {~wow} 작심삼일 아니고? {~lol}
            {A} {sport} {week}주 차 생존 신고|{B} {~wow} 대단해 {~face}
            {B} 같이 {sport} 다닐래?|{A} {~ok} 혼자는 {~so} 가기 싫어
        """),
        some(4, 6, """
            {A} {pain} {~so} 아파 {~cry}|{B} 근육 생기는 소리다 {~lol}
            {B} {coach:이/가} 뭐래|{A} {rep}개만 더 하래 {~cry}
            {A} {gear} 샀다 {~face}|{B} {sport:은/는} 장비빨이지 {~lol}
            {A} {kilo}킬로 빠짐!!|{B} {~wow} 축하 {~face}
            {B} 끝나고 {cheat} 콜?|{A} 그럼 왜 운동함 {~lol}
            {A} 계단을 못 내려가겠음|{B} {pain2} 나갔네 {~lol}
            {B} 나는 어제 {km}킬로 걸음|{A} {~wow} {sport} 안 해도 되겠다
            {A} {gear2:을/를} 두고 와서 빌림 {~cry}|{B} {nick3} 거 빌렸지? {~lol}
            {B} {nick3:이는/는} {week}주 만에 그만뒀대|{A} 우린 버티자 {~face}
        """),
        one("""
            {A} 내일 {hour}시 {sport} 빠지면 벌금|{B} {~ok} {~cry}
            {A} 오늘은 {cheat} 참았다|{B} {~wow} 인간 승리 {~lol}
            {B} {day}에 또 보자|{A} {pain:이/가} 허락하면 {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_KINDS = (SOCIAL_MEET, SOCIAL_EXAM, SOCIAL_FOOD, SOCIAL_GAME, SOCIAL_PET, SOCIAL_SHOW, SOCIAL_WORK,
                SOCIAL_GIFT, SOCIAL_POST, SOCIAL_LOST, SOCIAL_FIT)

GRAMMARS = {
    "main_data": Grammar(MAIN_SLOTS, MAIN_KINDS),
    "textbook": Grammar(TEXTBOOK_SLOTS, TEXTBOOK_KINDS),
    "assembly": Grammar(ASSEMBLY_SLOTS, ASSEMBLY_KINDS),
    "web": Grammar(WEB_SLOTS, WEB_KINDS),
    "social": Grammar(SOCIAL_SLOTS, SOCIAL_KINDS),
}
