"""Main_data: articles of an encyclopedia."""

from dem.sample_grammars.form import Grammar, Kind, lines, maybe, one, product, some, table, total, words

MAIN_SLOTS = {
    "first": words(
        "가 나 다 라 마 바 사 아 자 차 하 노 도 로 모 보 소 오 초 호 누 두 무 부 수 우 주 후 미 "
        "비 시 이 지 채 해 새 여 려 휘 혜 은 연"
    ),
    "second": words("람 온 울 솔 별 빛 름 루 래 담 든 롬 벌 찬 결 란 림 율 인 운 현 봉"),
    "stem": ("{~first}{~second}",),
    "river": words("{~stem}강 {~stem}천"),
    "mountain": words("{~stem}산 {~stem}봉 {~stem}재"),
    "town": words("{~stem}군 {~stem}시 {~stem}현"),
    "village": words("{~stem}리 {~stem}골 {~stem}마을"),
    "bay": words("{~stem}만 {~stem}해협 {~stem}포구"),
    "island": words("{~stem}섬 {~stem}도"),
    "surname": words(
        "강 고 구 남 노 도 류 문 민 반 배 서 석 설 송 안 양 엄 연 오 우 원 유 은 임 장 전 정 "
        "조 주 진 차 채 천 최 편 하 한 함 허 현 홍 황"
    ),
    "given": words(
        "가온 다솜 도담 라온 마루 미르 새힘 소담 여울 윤슬 이든 하람 해든 느루 다온 도래 모아 "
        "보늬 산들 새길 새날 솔찬 아토 알찬 우솔 찬솔 큰솔 해솔 혜윰 흰샘 든솔 너울 나린 늘봄 "
        "터울 벼리 단비 노을"
    ),
    "person": ("{~surname}{~given}",),
    "crop": words("보리 메밀 콩 수수 감자 무 배추 마늘 고추 들깨 참깨 사과 포도 복숭아 감 대추 밤 인삼 목화 모시"),
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
    "noun": words("언덕 강 노래 새벽 항구 등불 숲 편지 바람 우물 길 겨울 씨앗 창문 골짜기 별 그림자 나루 들판 배"),
    "book": ("『{~adjective} {~noun}』", "『{~adjective} {~noun}의 {~noun}』"),
}

MAIN_RIVER = Kind(
    slots={
        "length": range(24, 420),
        "width": range(6, 31),
        "basin": product("length", "width"),
        "branch": range(4, 38),
        "wet": range(6, 10),
        "trail": range(3, 24),
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
        some(
            5,
            7,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {later}년부터 {river:을/를} 따라 {trail}km 길이의 산책로가 놓였다.
            오늘날 {river:은/는} {town}의 식수원으로 관리된다.
            {afterwards}년에 {town:은/는} {river} 중류를 생태 보전 구역으로 지정하였다.
            {town} 사람들은 해마다 {season}에 {river}에서 물고기를 놓아주는 행사를 연다.
        """,
        ),
    ),
)

MAIN_TOWN = Kind(
    slots={
        "people": range(8200, 236000, 100),
        "villages": range(9, 140),
        "rain": range(780, 1690, 10),
        "warm": range(21, 28),
        "cold": range(1, 9),
        "portion": range(21, 68),
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
        some(
            6,
            8,
            """
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
        """,
        ),
        one("""
            {town:을/를} 상징하는 나무는 {tree:이다/다}.
            {town:을/를} 상징하는 새는 {waterbird:이다/다}.
            {town}에서는 해마다 {season}에 {crop} 축제가 열린다.
            현재 {town}의 청사는 {village}에 있다.
        """),
    ),
)

MAIN_PERSON = Kind(
    tables=(
        table(
            "job field genre deed",
            """
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
    """,
        ),
    ),
    slots={
        "birth": range(1852, 1911),
        "span": range(46, 85),
        "death": total("birth", "span"),
        "life": ("{person}({birth}~{death})",),
        "young": range(15, 25),
        "moved": total("birth", "young"),
        "prime": range(27, 44),
        "issued": total("birth", "prime"),
        "after": range(5, 27),
        "opened": total("death", "after"),
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
        some(
            4,
            6,
            """
            {moved}년 {town2:으로/로} 옮겨 {person2}에게 {field:을/를} 배웠다.
            {young}세 되던 해에 {person2:을/를} 만나 {field}의 길로 들어섰다.
            {issued}년에 펴낸 {genre} {book:은/는} {person}의 대표작으로 꼽힌다.
            {person}의 가장 큰 업적은 {deed}이다.
            {person:은/는} {deed:으로/로} {field}에 새로운 흐름을 열었다고 평가된다.
            {person2:과/와} 주고받은 편지 {letters}통은 {source:과/와} 함께 보존되어 있다.
            {book}의 머리말에서 {person:은/는} '{motto}'라는 말을 남겼다.
            {prime}세에 {mountain} 아래로 거처를 옮긴 뒤에도 {field:을/를} 놓지 않았다.
            당시의 {source:은/는} {person:을/를} 말수가 적고 꼼꼼한 사람으로 그린다.
        """,
        ),
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
    tables=(
        table(
            "family base fruit",
            """
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
    """,
        ),
    ),
    slots={
        "prefix": words(
            "흰털 긴잎 붉은줄 톱니 두메 애기 바위 그늘 갯 산골 은빛 큰 가는잎 점박이 모래 눈 쌍둥이 {stem}"
        ),
        "plant": ("{prefix}{base}",),
        "lifetime": words("여러해살이풀 두해살이풀 한해살이풀"),
        "habitat": words(
            "높은_산의_바위틈 물기가_많은_골짜기 볕이_잘_드는_풀밭 바닷가_모래땅 숲속_그늘 "
            "맑은_냇가 석회암_지대 산불이_지나간_비탈"
        ),
        "shape": words("달걀 심장 바늘 손바닥 긴_타원 콩팥 창끝 부채"),
        "petalcolour": words("흰색 연분홍색 자주색 노란색 하늘색 보라색 주황색 연두색"),
        "tall": range(9, 118),
        "petals": range(4, 9),
        "bloom": range(3, 10),
        "wait": range(1, 3),
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
        some(
            6,
            8,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {year}년 {job} {person:이/가} {mountain}에서 채집한 표본이 가장 오래된 기록이다.
            {town:은/는} {later}년부터 {plant}의 자생지를 보호하고 있다.
            개체 수가 줄어 {town}에서는 {plant}의 씨앗을 따로 모아 보관한다.
            최근에는 {island}에서도 {plant}의 새로운 군락이 발견되었다.
        """,
        ),
    ),
)
MAIN_ANIMAL = Kind(
    tables=(
        table(
            "class base bodypart food home size voice years",
            """
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
    """,
        ),
    ),
    slots={
        "mark": words("검은등 붉은배 점박이 긴꼬리 은빛 노랑띠 줄무늬 흰눈썹 큰 좀 푸른등 가시 {stem} 두메"),
        "animal": ("{mark}{base}",),
        "season": words("봄 여름 가을"),
        "breed": range(3, 8),
        "years": range(2, 14),
        "count": range(40, 980),
        "colour": words("갈색 잿빛 검은색 푸른빛 누런색 흰색 붉은빛 올리브색"),
    },
    parts=(
        one("""
            {animal:은/는} {home}에 사는 {class:이다/다}.
            {animal:은/는} {mountain:과/와} {river} 일대에 분포하는 {class:이다/다}.
            {town}에서 드물게 관찰되는 {animal:은/는} {class}의 한 종이다.
        """),
        some(
            6,
            8,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {year}년 {person:이/가} {town}에서 처음 기록하였다.
            {later}년 조사에서는 {town}에 {animal} {count}마리가 사는 것으로 나타났다.
            서식지가 줄어들어 {town:은/는} {animal:을/를} 보호종으로 지정하였다.
            {river}의 수질이 나아지면서 {animal}의 수도 차츰 늘고 있다.
        """,
        ),
    ),
)
MAIN_EVENT = Kind(
    tables=(
        table(
            "act sort cause step result people",
            """
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
    """,
        ),
    ),
    slots={
        "event": ("{stem} {act}",),
        "lasting": range(2, 12),
        "finish": total("year", "lasting"),
        "crowd": range(300, 9800, 50),
        "money": range(12, 96),
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
        some(
            5,
            7,
            """
            {role:은/는} {person:이었으며/였으며} {people} {crowd}여 명이 참여하였다.
            {people}들은 {village}에 머물며 {step:을/를} 맡았다.
            가장 어려운 대목은 {step:이었다고/였다고} 한다.
            처음에는 {village} 주민들의 반대가 있었으나 {person}의 설득으로 뜻이 모였다.
            {month2}월에는 큰비가 내려 {event:이/가} 한때 중단되었다.
            필요한 {supply:은/는} {town2}에서 실어 왔다.
            비용의 {money}%는 {town:이/가} 대고 나머지는 주민들이 나누어 냈다.
            {person:은/는} 날마다 진행 상황을 적어 두었고, 이 기록이 {source}에 남아 있다.
            {finish}년 {month}월 {village}에서 마무리를 기념하는 잔치가 열렸다.
        """,
        ),
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
    tables=(
        table(
            "genre writer form reader",
            """
        장편 소설; 소설가; 3부로 나뉜 이야기, 편지 형식의 이야기, 한 해의 일기; 독자
        동화; 동화 작가; 다섯 편의 짧은 이야기, 밤마다 들려주는 이야기; 어린이
        희곡; 극작가; 3막의 무대, 한 방에서 벌어지는 대화; 관객
        서사시; 시인; 열두 노래, 두 사람이 주고받는 노래; 낭송가
        단편 소설; 소설가; 하룻밤 사이의 이야기, 노인의 회상; 독자
    """,
        ),
    ),
    slots={
        "hero": words(
            "등대지기 우편배달부 옹기장이 나룻배_사공 떠돌이_악사 약초꾼 시계_수리공 염전_일꾼 제본공 철도원"
        ),
        "partner": words("이웃집_아이 늙은_스승 말_없는_동생 낯선_여행자 옛_친구 길_잃은_강아지 눈먼_화가"),
        "want": words(
            "잃어버린_악보 한_번도_보지_못한_바다 돌아오지_않는_편지의_주인 오래된_우물의_비밀 사라진_마을의_이름"
        ),
        "theme": words("기다림 화해 고향의_상실 우정 침묵 용서 노동의_보람 세대의_차이 자연에_대한_경외"),
        "style": words("담담한_문체 짧고_끊어지는_문장 방언이_섞인_대화 되풀이되는_후렴 섬세한_풍경_묘사"),
        "chapters": range(5, 34),
        "tongues": range(3, 19),
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
        some(
            5,
            7,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {later}년에는 {book:을/를} 바탕으로 한 연극이 {town}에서 공연되었다.
            지금까지 {tongues}개 언어로 옮겨졌다.
            {afterwards}년에 {person}의 친필 원고가 {village}에서 발견되었다.
            {town}에는 {book}의 {hero:을/를} 본뜬 동상이 있다.
        """,
        ),
    ),
)

MAIN_BUILDING = Kind(
    tables=(
        table(
            "base purpose piece",
            """
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
    """,
        ),
    ),
    slots={
        "building": ("{stem} {base}",),
        "high": range(4, 48),
        "broad": range(6, 70),
        "lasting": range(2, 10),
        "stuff": words("화강암 소나무 붉은_벽돌 현무암 흙벽돌 느티나무 석회암 전나무"),
        "look": words("단정하고_소박하다는 웅장하다는 균형이_잘_잡혀_있다는 곡선이_부드럽다는 빛이_고르게_든다는"),
        "harm": words("벼락 큰불 홍수 지진 태풍 폭설"),
    },
    parts=(
        one("""
            {building:은/는} {town} {village}에 있는 건축물이다.
            {building:은/는} {year}년에 {purpose} 위해 지은 건축물이다.
            {mountain} 기슭에 선 {building:은/는} {town}의 대표적인 건축물이다.
        """),
        some(
            6,
            8,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {town:은/는} {afterwards}년에 {building:을/를} 지정 문화재로 등록하였다.
            {building} 앞마당에는 {tree} 두 그루가 서 있다.
            해마다 {month}월에 {building:을/를} 일반에 공개한다.
            {piece:을/를} 본뜬 모형이 {town2} 박물관에 전시되어 있다.
        """,
        ),
    ),
)
MAIN_DISH = Kind(
    tables=(
        table(
            "base main method taste",
            """
        전병; 메밀가루, 수수가루; 얇게 부쳐 소를 넣고 만다; 구수하고 담백하다
        국수; 메밀가루, 칡가루; 반죽을 눌러 뽑아 장국에 만다; 시원하고 깔끔하다
        식해; 가자미, 명태; 소금에 절여 좁쌀과 함께 삭힌다; 새콤하고 깊다
        떡; 찹쌀, 멥쌀; 가루를 쪄서 떡메로 친다; 쫄깃하고 달다
        장아찌; 무, 마늘종; 간장에 담가 여러 달 묵힌다; 짭짤하고 아삭하다
        엿; 조청, 호박; 오래 고아 늘이며 식힌다; 달고 부드럽다
        묵; 도토리, 녹두; 앙금을 끓여 굳힌다; 쌉쌀하고 매끈하다
        죽; 잣, 팥; 갈아서 약한 불에 오래 쑨다; 고소하고 순하다
    """,
        ),
    ),
    slots={
        "dish": ("{stem}{base}",),
        "hours": range(2, 30),
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
        some(
            5,
            8,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {year}년 무렵 {person:이/가} {town} 장터에서 팔기 시작하면서 널리 알려졌다.
            {later}년부터 {town}에서는 {dish} 축제를 연다.
            요즘은 {main}의 수확이 줄어 {dish:을/를} 만드는 집이 많지 않다.
            {person}의 집안은 {dish}의 조리법을 대대로 지켜 오고 있다.
        """,
        ),
    ),
)

MAIN_SKY = Kind(
    tables=(
        table(
            "base makeup path",
            """
        소행성; 규산염 암석, 금속 성분; 화성과 목성 사이의 궤도를 돈다, 지구 궤도를 비스듬히 가로지른다
        혜성; 얼음과 먼지, 얼어붙은 기체; 길쭉한 타원 궤도를 돈다, 포물선에 가까운 궤도를 그린다
        왜소 행성; 얼음과 암석, 메테인 얼음; 태양에서 아주 먼 궤도를 돈다, 이웃 행성보다 기울어진 궤도를 돈다
    """,
        ),
    ),
    slots={
        "sky": ("{base} {stem}", "{base} {stem} {serial}호"),
        "serial": range(2, 90),
        "km": range(3, 940),
        "turn": range(4, 71),
        "found": range(1921, 2016),
        "period": range(3, 260),
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
        some(
            6,
            8,
            """
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
        """,
        ),
        some(
            1,
            2,
            """
            {stem:을/를} 가까이에서 살핀 탐사선은 아직 없다.
            {mountain} 천문대는 지금도 {month}월마다 {stem:을/를} 관측한다.
            다음에 {stem:이/가} 가장 밝아지는 때를 두고 여러 계산이 나와 있다.
            {person}의 관측 일지는 {town} 과학관에 보관되어 있다.
        """,
        ),
    ),
)

MAIN_ISLAND = Kind(
    slots={
        "shore": range(4, 88),
        "peak": range(60, 960),
        "homes": range(18, 900),
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
        some(
            6,
            9,
            """
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
        """,
        ),
        one("""
            {town:은/는} {afterwards}년에 {island:을/를} 자연 휴식지로 정하였다.
            오늘날 {island:은/는} {beast:을/를} 보려는 여행자가 찾는 곳이다.
            {myth} 이야기는 {island}의 벽화로도 남아 있다.
        """),
    ),
)

MAIN_KINDS = (
    MAIN_RIVER,
    MAIN_TOWN,
    MAIN_PERSON,
    MAIN_PLANT,
    MAIN_ANIMAL,
    MAIN_EVENT,
    MAIN_WORK,
    MAIN_BUILDING,
    MAIN_DISH,
    MAIN_SKY,
    MAIN_ISLAND,
)

GRAMMAR = Grammar(MAIN_SLOTS, MAIN_KINDS)
